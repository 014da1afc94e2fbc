"""What is kept of a series: the newest ten, everything, and sliding windows that empty."""

from __future__ import annotations

import numpy as np

from aggregator.fold import fold
from api.read import query
from tributary.model.aggregate import Layout
from tributary.model.groups import Readings
from tributary.model.window import parse_windows

NOON_MS = 1_795_348_800_000  # 2026-11-22T12:00:00Z
MINUTE_MS = 60_000


def recorded(*readings: tuple[int, float]) -> tuple[Layout, query.Series]:
    """One series after some readings, given as (milliseconds after noon, value)."""
    layout = Layout(parse_windows("1m/5s,15m/1m"), 10)
    state, rings = np.full(1, layout.no_state), np.full(1, layout.no_rings)
    offsets, values = (np.array(column) for column in zip(*readings, strict=True))
    rows = np.zeros(len(readings), int)
    fold(layout, state, rings, Readings(rows, NOON_MS + offsets, values.astype(float)))
    return layout, query.unpack(layout, state[0].tobytes(), rings[0].tobytes())


def test_a_total_knows_every_reading():
    _, series = recorded(*((n * 1000, float(n)) for n in range(101)))
    assert query.total(series).count == 101
    assert query.total(series).mean == 50.0
    assert (query.total(series).min, query.total(series).max) == (0.0, 100.0)


def test_the_average_is_that_of_the_newest_ten():
    _, series = recorded(*((n * 1000, float(n)) for n in range(101)))
    assert query.average(series) == 95.5


def test_a_window_covers_the_slots_that_overlap_its_length():
    layout, series = recorded(*((n * 1000, float(n)) for n in range(120)))
    window = query.window(layout, series, 0, NOON_MS + 119_000)
    assert window.from_ == "2026-11-22T12:00:55.000Z"
    assert window.to == "2026-11-22T12:01:59.000Z"
    assert window.count == 65
    assert (window.min, window.max) == (55.0, 119.0)


def test_a_window_empties_while_the_sensor_is_silent():
    layout, series = recorded((0, 1.0), (30_000, 2.0))
    counts = [
        query.window(layout, series, 0, NOON_MS + after_ms).count
        for after_ms in (30_000, MINUTE_MS, 66_000, 90_000, 96_000)
    ]
    assert counts == [2, 2, 1, 1, 0]
    assert query.window(layout, series, 0, NOON_MS + 96_000).mean is None


def test_a_late_reading_goes_into_its_own_slot():
    layout, series = recorded((50_000, 5.0), (10_000, 1.0))
    assert query.window(layout, series, 0, NOON_MS + 50_000).count == 2
    assert query.window(layout, series, 0, NOON_MS + 80_000).count == 1
    assert series.newest_ms == NOON_MS + 50_000


def test_windows_of_different_lengths_forget_at_different_times():
    layout, series = recorded((0, 1.0), (2 * MINUTE_MS, 2.0))
    now_ms = NOON_MS + 2 * MINUTE_MS
    assert query.window(layout, series, 0, now_ms).count == 1
    assert query.window(layout, series, 1, now_ms).count == 2
