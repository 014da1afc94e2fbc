"""Readings ahead of the clock: windows still include what overlaps [now - length, now]."""

from __future__ import annotations

import math
from random import Random
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import brute
from support.row_memory import RowMemory

from aggregator.fold import fold
from aggregator.overflow import Horizon
from aggregator.table import Table, Unseen
from api.read import query
from tributary.model.aggregate import OVERFLOW_CELL, Layout
from tributary.model.groups import Readings
from tributary.model.rows import Shape
from tributary.model.window import parse_windows

LAYOUT = Layout(parse_windows("1m/5s,15m/1m,1h/5m,24h/1h"), 10)
SHAPE = Shape(LAYOUT)
START_MS = 1_700_000_003_210
FUTURE_MAX_MS = 300_000
SERIES = ("car-7", "speed")


class Arrival(NamedTuple):
    """A reading, its time of arrival, and how far its own time is ahead of that (late if negative)."""

    pause_ms: int
    ahead_ms: int
    value: float


class Aggregator:
    """One series, folded at the times of arrival, and stored and loaded between batches."""

    def __init__(self) -> None:
        self.memory = RowMemory(SHAPE)
        self.late = 0

    def fold(self, now_ms: int, times_ms: list[int], values: list[float]) -> None:
        table = Table(SHAPE, 4)
        unseen = Unseen([SERIES], [SERIES[0]])
        table.load(0, unseen, self.memory.stored(SERIES), [None])
        row = table.rows(0)[SERIES]
        readings = Readings(np.full(len(values), row), np.array(times_ms), np.array(values))
        horizon = Horizon(table.overflow, now_ms, FUTURE_MAX_MS)
        folded = fold(LAYOUT, table.state, table.rings, readings, horizon)
        self.late += len(folded.late)
        self.memory.commit_fold(table, folded)
        state, rings, _ = SHAPE.unpack(self.memory.stored(SERIES))
        np.testing.assert_array_equal(state["count"], table.state[[row]]["count"])
        assert rings.tobytes() == table.rings[[row]].tobytes()
        assert SHAPE.beyond(self.memory.stored(SERIES).each[0]) == table.overflow.packed(row)

    @property
    def series(self) -> query.Series:
        stored = self.memory.stored(SERIES)
        state, rings, _ = SHAPE.unpack(stored)
        return query.unpack(LAYOUT, state.tobytes(), rings.tobytes() + SHAPE.beyond(stored.each[0]))

    @property
    def overflow_cells(self) -> int:
        return len(SHAPE.beyond(self.memory.stored(SERIES).each[0])) // OVERFLOW_CELL.itemsize


def check(series: query.Series, now_ms: int, readings: list[tuple[int, float]]) -> None:
    for number, window in enumerate(LAYOUT.windows):
        first, last = (now_ms - window.length_ms) // window.slot_ms, now_ms // window.slot_ms
        exact = brute.statistics(
            [value for time_ms, value in readings if first <= time_ms // window.slot_ms <= last]
        )
        found = msgspec.structs.asdict(query.window(LAYOUT, series, number, now_ms))
        assert [found[n] for n in ("count", "min", "max")] == [
            exact[n] for n in ("count", "min", "max")
        ], window
        for name in ("mean", "stddev"):
            assert (found[name] is None) == (exact[name] is None)
            if found[name] is not None:
                assert math.isclose(found[name], exact[name], rel_tol=1e-6, abs_tol=1e-3)
        begin_ms, end_ms = first * window.slot_ms, (last + 1) * window.slot_ms
        slots = query.in_window(LAYOUT, series, number, begin_ms, end_ms)
        assert slots.cells["count"].sum() == exact["count"]


arrivals = st.lists(
    st.builds(
        Arrival,
        st.one_of(st.integers(0, 3_000), st.integers(0, 90_000), st.integers(0, 4_000_000)),
        st.one_of(
            st.just(0),
            st.integers(-2_000, 10_000),
            st.integers(-90_000, FUTURE_MAX_MS),
            st.integers(-4_000_000, 0),
            st.just(FUTURE_MAX_MS),
        ),
        st.floats(-1e6, 1e6),
    ),
    min_size=1,
    max_size=40,
)


@given(arrivals, st.lists(st.integers(0, 400_000), min_size=1, max_size=5), st.randoms())
def test_late_and_early_readings_in_any_order_give_the_slots_of_the_window(
    arrived: list[Arrival], pauses_ms: list[int], random: Random
):
    aggregator, now_ms = Aggregator(), START_MS
    readings: list[tuple[int, float]] = []
    waiting: list[tuple[int, float]] = []
    for each in arrived:
        now_ms += each.pause_ms
        waiting.append((now_ms + each.ahead_ms, each.value))
        if random.random() < 0.5 or each is arrived[-1]:
            aggregator.fold(now_ms, [t for t, _ in waiting], [v for _, v in waiting])
            readings, waiting = readings + waiting, []
            check(aggregator.series, now_ms, readings)
    for pause_ms in pauses_ms:
        now_ms += pause_ms
        check(aggregator.series, now_ms, readings)


@pytest.mark.parametrize("ahead_ms", [6_000, 240_000, FUTURE_MAX_MS])
def test_a_reading_ahead_of_the_clock_removes_nothing_from_the_windows(ahead_ms: int):
    aggregator, readings = Aggregator(), []
    for second in range(0, 3_700, 10):
        now_ms = START_MS + second * 1_000
        arrived = [(now_ms - back * 1_000, float(second - back)) for back in range(9, -1, -1)]
        aggregator.fold(now_ms, [t for t, _ in arrived], [v for _, v in arrived])
        readings += arrived
    aggregator.fold(now_ms, [now_ms + ahead_ms], [-1.0])
    readings.append((now_ms + ahead_ms, -1.0))
    check(aggregator.series, now_ms, readings)
    assert aggregator.late == 0


@pytest.mark.parametrize("ahead_ms", [6_000, 240_000, FUTURE_MAX_MS])
def test_a_device_clock_that_is_always_ahead_is_exact_and_bounded(ahead_ms: int):
    aggregator, readings, most = Aggregator(), [], 0
    for step in range(500):
        now_ms = START_MS + step * 2_500
        readings.append((now_ms + ahead_ms, float(step)))
        aggregator.fold(now_ms, [now_ms + ahead_ms], [float(step)])
        most = max(most, aggregator.overflow_cells)
        if step % 50 == 0:
            check(aggregator.series, now_ms, readings)
    assert 0 < most <= sum(-(-ahead_ms // w.slot_ms) for w in LAYOUT.windows)


def test_cells_are_bounded_even_if_the_clock_of_the_aggregator_is_wrong():
    aggregator = Aggregator()
    for step in range(500):
        aggregator.fold(0, [START_MS + step * 2_500], [1.0])
    assert aggregator.overflow_cells <= sum(-(-FUTURE_MAX_MS // w.slot_ms) for w in LAYOUT.windows)


def test_additional_cells_are_dropped_once_the_clock_has_caught_up():
    aggregator = Aggregator()
    for step in range(100):
        now_ms = START_MS + step * 2_500
        aggregator.fold(now_ms, [now_ms + 240_000], [1.0])
    assert aggregator.overflow_cells > 0
    now_ms += 300_000
    aggregator.fold(now_ms, [now_ms], [1.0])
    assert aggregator.overflow_cells == 0


def test_series_with_readings_on_time_have_no_additional_cells():
    aggregator = Aggregator()
    for step in range(500):
        now_ms = START_MS + step * 1_000
        aggregator.fold(now_ms + 7, [now_ms], [1.0])
    assert aggregator.overflow_cells == 0
    assert aggregator.memory.beyond == {}
