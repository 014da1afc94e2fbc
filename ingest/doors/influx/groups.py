"""Points by their metrics, so that equal ones become columns."""

from __future__ import annotations

import msgspec
import numpy as np

from ingest import columns
from ingest.batch import Batch
from ingest.doors.influx.line import Head
from tributary.model import reading
from tributary.model.frame import Block

_COLUMNS_MIN = 4  # rows: fewer are blocks of their own


class _Group(msgspec.Struct, gc=False):
    """Rows of the same metrics; the values of all rows one after the other."""

    metrics: tuple[str, ...]
    heads: list[Head]
    times_ms: list[int]
    values: list[float]
    indices: list[int]


class Groups:
    """Collects points; their order is kept within a series."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, ...], _Group] = {}
        self._closed: list[_Group] = []
        self._group_of: dict[str, _Group] = {}  # by metric

    def add(
        self, index: int, head: Head, metrics: tuple[str, ...], time_ms: int, values: list[float]
    ) -> None:
        """Add a point; `index` is that of its line."""
        group = self._groups.get(metrics)
        if group is None:
            group = self._begin(metrics)
        group.heads.append(head)
        group.times_ms.append(time_ms)
        group.values += values
        group.indices.append(index)

    def _begin(self, metrics: tuple[str, ...]) -> _Group:
        """Begin a group; those with some of its metrics end, so that later values follow earlier."""
        for name in metrics:
            other = self._group_of.get(name)
            if other is not None and self._groups.pop(other.metrics, None) is not None:
                self._closed.append(other)
        group = self._groups[metrics] = _Group(metrics, [], [], [], [])
        self._group_of.update(dict.fromkeys(metrics, group))
        return group

    def batch(self) -> Batch:
        """All points as a batch."""
        blocks: dict[int, list[Block]] = {}
        orders: dict[int, list[int]] = {}
        for group in (*self._closed, *self._groups.values()):
            for partition, block, order in _blocks(group):
                blocks.setdefault(partition, []).append(block)
                orders.setdefault(partition, []).extend(order)
        indices = [index for order in orders.values() for index in order]
        return Batch(blocks, len(indices), is_batch=True, order=indices)


def _blocks(group: _Group) -> list[tuple[int, Block, list[int]]]:
    """The blocks of a group; rows of more metrics than a reading may have become several."""
    names, width = group.metrics, len(group.metrics)
    parts = [range(at, min(at + reading.METRICS_MAX, width)) for at in range(0, width, 64)]
    rows = len(group.heads)
    if rows < _COLUMNS_MIN:
        return [
            (
                head.partition,
                Block(
                    head.device, time_ms, {names[i]: group.values[row * width + i] for i in part}
                ),
                [index],
            )
            for row, (head, time_ms, index) in enumerate(
                zip(group.heads, group.times_ms, group.indices, strict=True)
            )
            for part in parts
        ]
    devices = [head.device for head in group.heads]
    partitions = np.fromiter((head.partition for head in group.heads), np.int16, rows)
    times_ms = np.array(group.times_ms, np.int64)
    table = np.array(group.values).reshape(rows, width).T
    return [
        (found.partition, found.block, [group.indices[row] for row in found.order.tolist()])
        for part in parts
        for found in columns.by_partition(
            devices, partitions, times_ms, {names[i]: table[i] for i in part}
        )
    ]
