"""Small columns of several devices, as batches make them, are decoded together."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from aggregator import decode
from tributary.errors import BadFrame
from tributary.model.frame import RawBlock

Value = tuple[int, float, int]  # time, value, number of the reading


def column(devices: list[str] | str, first: int, *metrics: str) -> RawBlock:
    """A column whose values tell apart every reading and metric."""
    count = 2 if isinstance(devices, str) else len(devices)
    times = np.arange(first, first + count, dtype="<i8").tobytes()
    values = {
        metric: (np.arange(count, dtype="<f8") + 100 * n + first).tobytes()
        for n, metric in enumerate(metrics)
    }
    return devices, times, values  # type: ignore[return-value]


def by_series(columns: decode.Columns, first: int = 0) -> dict[tuple[str, str], list[Value]]:
    """The values of each series in their order."""
    found = defaultdict(list)
    series = np.repeat(np.arange(len(columns.series)), columns.repeats)
    for n, time_ms, value, number in zip(
        series, columns.times_ms, columns.values, columns.reading, strict=True
    ):
        found[columns.series[n]].append((int(time_ms), float(value), int(number) + first))
    return found


def test_joined_blocks_are_the_readings_of_each():
    blocks: list[RawBlock] = [
        column(["a"], 1, "x", "y"),
        column(["b", "a", "a"], 2, "x", "y"),
        column(["c"], 9, "y", "x"),
        column("a", 10, "x", "y"),
        ("b", 12, {"x": 1.0}),
        column([], 13, "x"),
        column(["a"], 14, "x"),
    ]
    expected: dict[tuple[str, str], list[Value]] = defaultdict(list)
    first = 0
    for block in blocks:
        alone = decode._parts([block])[0]
        for series, values in by_series(alone, first).items():
            expected[series] += values
        first += alone.readings
    together = decode.columns(blocks)
    assert together.readings == first
    assert by_series(together) == expected


def test_every_block_is_checked_though_the_sums_agree():
    long, short = column(["a", "b"], 1, "x"), column(["a"], 1, "x")
    crossed: list[RawBlock] = [(long[0], short[1], long[2]), (short[0], long[1], short[2])]
    with pytest.raises(BadFrame, match="different lengths"):
        decode.columns(crossed)
    with pytest.raises(BadFrame, match="not the readings"):
        decode.columns([long, (["a"], short[1], {"x": 1.0})])
    with pytest.raises(BadFrame, match="not the readings"):
        decode.columns([(["a"], short[1], {}), (["a"], short[1], {})])
