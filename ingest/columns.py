"""Columns of readings → one block per partition."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tributary.model.frame import Block


class Part(NamedTuple):
    """The readings of one partition, with the index of each in the columns."""

    partition: int
    block: Block
    order: NDArray[Any]


def by_partition(
    devices: list[str],
    partitions: NDArray[np.int16],
    times_ms: NDArray[np.int64],
    columns: dict[str, NDArray[np.float64]],
) -> list[Part]:
    """Split columns of equal length by partition; within one, readings keep their order."""
    order = np.argsort(partitions, kind="stable")  # 16-bit integers are sorted by radix
    named = [devices[i] for i in order.tolist()]
    times = times_ms[order].tobytes()
    sorted_ = {name: column[order].tobytes() for name, column in columns.items()}
    parts = []
    start = 0
    for partition, end in enumerate(np.bincount(partitions).cumsum().tolist()):
        if end > start:
            part = slice(start * 8, end * 8)
            values: dict[str, float | bytes] = {k: v[part] for k, v in sorted_.items()}
            block = Block(named[start:end], times[part], values)
            parts.append(Part(partition, block, order[start:end]))
            start = end
    return parts
