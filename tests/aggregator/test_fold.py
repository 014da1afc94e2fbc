"""The fold matches the definitions for any order, any batches and any gaps in time."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import brute
from support.brute import Reading

from aggregator.fold import fold
from aggregator.latest import averages
from api.read import query
from tributary.model.aggregate import Layout, mean
from tributary.model.groups import Readings
from tributary.model.window import parse_windows

SERIES = 3
START_MS = 1_700_000_000_000

layouts = st.builds(
    lambda windows, over: Layout(parse_windows(windows), over),
    st.sampled_from(["", "1m/5s", "1m/5s,15m/1m", "10s/1s,1m/1m", "1m/5s,15m/1m,1h/5m,24h/1h"]),
    st.sampled_from([1, 2, 10]),
)
offsets_ms = st.one_of(
    st.integers(0, 10),
    st.integers(0, 70_000),
    st.integers(0, 1_000_000),
    st.integers(0, 100_000_000),
    st.integers(0, 30).map(lambda n: n * 5_000),
)
values = st.one_of(st.integers(-100, 100).map(float), st.floats(-1e6, 1e6))
batches = st.lists(
    st.lists(
        st.builds(
            Reading, st.integers(0, SERIES - 1), offsets_ms.map(lambda o: START_MS + o), values
        ),
        min_size=1,
        max_size=30,
    ),
    min_size=1,
    max_size=6,
)


class Folded:
    """Batches, folded one after the other."""

    def __init__(self, layout: Layout, batches: list[list[Reading]]) -> None:
        self.layout = layout
        self.state = np.full(SERIES, layout.no_state)
        self.rings = np.full(SERIES, layout.no_rings)
        self.late: list[Reading] = []
        for batch in batches:
            rows, times_ms, numbers = (np.array(column) for column in zip(*batch, strict=True))
            folded = fold(layout, self.state, self.rings, Readings(rows, times_ms, numbers))
            self.late += [batch[at] for at in folded.late.tolist()]

    def cell(self, series: int, number: int, slot: int) -> np.void:
        window = self.layout.windows[number]
        if slot == self.state[series]["times_ms"][-1] // window.slot_ms:
            return self.state[series]["open"][number]
        return self.rings[series][window.name][slot % window.slots]


def close(actual: float, exact: float | None) -> bool:
    return exact is not None and math.isclose(actual, exact, rel_tol=1e-9, abs_tol=1e-6)


@given(layouts, batches)
def test_any_split_into_batches_matches_the_definition(
    layout: Layout, batches: list[list[Reading]]
):
    folded = Folded(layout, batches)
    for series in range(SERIES):
        readings = [r for batch in batches for r in batch if r.series == series]
        state = folded.state[series]
        exact = brute.statistics([r.value for r in readings])
        assert state["count"] == exact["count"]
        if not readings:
            continue
        assert close(state["mean"], exact["mean"])
        assert state["min"] == exact["min"]
        assert state["max"] == exact["max"]
        if exact["stddev"] is not None:
            columns = ["count", "mean", "m2", "min", "max"]
            stddev = query.statistics(folded.state[series : series + 1][columns]).stddev
            assert math.isclose(stddev or 0.0, exact["stddev"], rel_tol=1e-6, abs_tol=1e-4)
        kept = brute.newest(readings, layout.average_over)
        assert state["values"][-len(kept) :].tolist() == kept
        assert averages(folded.state[series : series + 1]) == [mean(kept)]
        for number, window in enumerate(layout.windows):
            for slot, numbers in brute.slot_values(readings, window).items():
                cell, exact = folded.cell(series, number, slot), brute.statistics(numbers)
                assert cell["count"] == exact["count"]
                if numbers:
                    assert close(cell["mean"], exact["mean"])
                    assert (cell["min"], cell["max"]) == (exact["min"], exact["max"])


@given(layouts, batches)
def test_any_split_into_batches_counts_the_same_late_readings(
    layout: Layout, batches: list[list[Reading]]
):
    arrived = [reading for batch in batches for reading in batch]
    exact = []
    for series in range(SERIES):
        mine = [r for r in arrived if r.series == series]
        exact += [mine[place] for place in brute.late(mine, layout.windows)]
    assert sorted(Folded(layout, batches).late) == sorted(exact)
    assert sorted(Folded(layout, [arrived]).late) == sorted(exact)
    assert sorted(Folded(layout, [[reading] for reading in arrived]).late) == sorted(exact)


@given(batches, st.randoms())
def test_order_of_arrival_does_not_matter_if_times_differ(
    batches: list[list[Reading]], random: Random
):
    layout = Layout(parse_windows("1h/5m,24h/1h"), 10)
    readings = list({(r.series, r.time_ms): r for batch in batches for r in batch}.values())
    shuffled = random.sample(readings, len(readings))
    one, other = Folded(layout, [readings]), Folded(layout, [shuffled])
    assert one.state["times_ms"].tolist() == other.state["times_ms"].tolist()
    assert one.state["values"].tolist() == other.state["values"].tolist()
    assert one.state["count"].tolist() == other.state["count"].tolist()
    assert np.allclose(one.state["mean"], other.state["mean"])


@pytest.mark.parametrize(
    ("numbers", "mean"),
    [
        ([1e220, 45.0, -1e220], 15.0),
        ([1e308, 1e308, 1e308], 1e308),
        ([1.7e308] * 10, 1.7e308),
        ([1.7e308, -1.7e308], 0.0),
        ([5e-324, 5e-324], 5e-324),
        ([0.1] * 10, 0.1),
        ([1e8, 1e8 - 1], 1e8 - 0.5),
    ],
)
def test_the_average_is_exact_for_extreme_values(numbers: list[float], mean: float):
    layout = Layout(parse_windows("1m/5s"), 10)
    for batches in ([numbers], [[n] for n in numbers]):
        folded = Folded(
            layout, [[Reading(0, START_MS + i, n) for i, n in enumerate(b)] for b in batches]
        )
        assert averages(folded.state[:1]) == [mean]
        assert np.isfinite(folded.state["mean"][0])
        assert np.isfinite(folded.state["open"]["mean"][0, 0])


def test_variance_of_close_large_numbers_does_not_cancel():
    layout = Layout((), 10)
    folded = Folded(layout, [[Reading(0, START_MS, 1e8)], [Reading(0, START_MS + 1, 1e8 - 1)]])
    assert folded.state["m2"][0] == 0.5


def test_the_mean_of_a_million_tenths_is_a_tenth():
    layout = Layout((), 10)
    state, rings = np.full(1, layout.no_state), np.full(1, layout.no_rings)
    for batch in range(100):
        times = np.arange(10_000) + batch * 10_000
        fold(layout, state, rings, Readings(np.zeros(10_000, int), times, np.full(10_000, 0.1)))
    assert state["mean"][0] == 0.1
    assert state["count"][0] == 1_000_000
