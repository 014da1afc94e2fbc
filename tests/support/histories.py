"""The rows of a history, and what they should be by brute force over readings."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy

from tributary.history import schema
from tributary.history.database import Database
from tributary.model import frame

Fields = dict[bytes, bytes]


class Value(NamedTuple):
    """One value of one reading."""

    device: str
    metric: str
    time_ms: int
    value: float


def values_of(packed: bytes, readings: int | None = None) -> Iterator[Value]:
    """The values in a frame; with `readings`, only those of the first ones."""
    number = 0
    for device, times, metrics in frame.unpack(packed):
        columns = [_column(times, "<i8")]
        columns += [_column(column, "<f8") for column in metrics.values()]
        devices = [device] * len(columns[0]) if isinstance(device, str) else device
        for name, time_ms, *values in zip(devices, *columns, strict=True):
            if readings is not None and number >= readings:
                return
            number += 1
            for metric, value in zip(metrics, values, strict=True):
                yield Value(name, metric, time_ms, value)


def _column(packed: Any, kind: str) -> list[Any]:
    return np.frombuffer(packed, kind).tolist() if isinstance(packed, bytes) else [packed]


Rows = dict[tuple[int, str, str, int], tuple[float, ...]]  # slot_ms, device, metric, start → cell


def rows(db: Database) -> Rows:
    """Every row of minutes, hours and days."""
    found: Rows = {}
    names = schema.series.c
    with db.reading() as connection:
        for resolution in schema.RESOLUTIONS:
            slots = resolution.table.c
            query = sqlalchemy.select(
                names.device, names.metric, slots.slot_ms,
                slots["count"], slots.mean, slots.m2, slots.min, slots.max,
            ).join_from(resolution.table, schema.series, slots.series_id == names.id)  # fmt: skip
            for device, metric, start_ms, *cell in connection.execute(query):
                found[resolution.slot_ms, device, metric, start_ms] = tuple(cell)
    return found


def expected(values: Iterable[Value]) -> Rows:
    """The rows that these values make."""
    groups: dict[tuple[int, str, str, int], list[float]] = defaultdict(list)
    for device, metric, time_ms, value in values:
        for resolution in schema.RESOLUTIONS:
            start_ms = time_ms // resolution.slot_ms * resolution.slot_ms
            groups[resolution.slot_ms, device, metric, start_ms].append(value)
    return {key: _cell(group) for key, group in groups.items()}


def _cell(values: list[float]) -> tuple[float, ...]:
    mean = math.fsum(values) / len(values)
    m2 = math.fsum((value - mean) ** 2 for value in values)
    return (len(values), mean, m2, min(values), max(values))


def assert_history(db: Database, values: Iterable[Value]) -> None:
    """Raise unless the history consists of exactly these values."""
    found, wanted = rows(db), expected(values)
    counts = {key: cell[0] for key, cell in found.items()}
    assert counts == {key: cell[0] for key, cell in wanted.items()}
    for key, cell in wanted.items():
        assert np.allclose(found[key], cell, rtol=1e-9, atol=1e-6), (key, found[key], cell)
