"""A window at any time equals a brute-force recount of the slots that overlap it."""

from __future__ import annotations

import math
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support import brute
from support.brute import Reading

from aggregator.fold import fold
from api.read import query
from tributary.model.aggregate import Layout
from tributary.model.groups import Readings
from tributary.model.window import parse_windows

LAYOUT = Layout(parse_windows("1m/5s,15m/1m,1h/5m,24h/1h"), 10)
START_MS = 1_700_000_000_000


def folded(readings: list[Reading], random: Random) -> query.Series:
    """A series whose readings were folded in batches of random size."""
    state, rings = np.full(1, LAYOUT.no_state), np.full(1, LAYOUT.no_rings)
    rest = list(readings)
    while rest:
        size = random.randint(1, 20)
        batch, rest = rest[:size], rest[size:]
        rows, times_ms, values = (np.array(column) for column in zip(*batch, strict=True))
        fold(LAYOUT, state, rings, Readings(rows, times_ms, values))
    return query.unpack(LAYOUT, state[0].tobytes(), rings[0].tobytes())


readings_ = st.lists(
    st.builds(
        Reading,
        st.just(0),
        st.one_of(st.integers(0, 120_000), st.integers(0, 200_000_000)).map(lambda o: START_MS + o),
        st.floats(-1e6, 1e6),
    ),
    min_size=1,
    max_size=60,
)


@given(readings_, st.integers(0, 100_000_000), st.randoms())
def test_a_window_contains_the_readings_of_its_slots(
    readings: list[Reading], silence_ms: int, random: Random
):
    series = folded(readings, random)
    newest_ms = max(r.time_ms for r in readings)
    now_ms = newest_ms + silence_ms
    for number, window in enumerate(LAYOUT.windows):
        first = (now_ms - window.length_ms) // window.slot_ms
        values = [r.value for r in readings if first <= r.time_ms // window.slot_ms]
        exact, found = brute.statistics(values), query.window(LAYOUT, series, number, now_ms)
        assert (found.count, found.min, found.max) == (
            exact["count"],
            exact["min"],
            exact["max"],
        )
        if values:
            assert math.isclose(found.mean, exact["mean"], rel_tol=1e-9, abs_tol=1e-6)
        if len(values) > 1:
            assert math.isclose(found.stddev, exact["stddev"], rel_tol=1e-6, abs_tol=1e-3)


def test_statistics_beyond_the_range_of_doubles_are_null():
    huge = [Reading(0, START_MS + n, v) for n, v in enumerate([1.7e308, -1.7e308, 1.7e308])]
    series = folded(huge, Random(1))
    total = query.total(series)
    assert total.count == 3
    assert total.stddev is None
    assert math.isfinite(total.mean)
    assert math.isfinite(query.average(series))
