"""Summaries of slots equal a brute-force fold, in any order of merges and at any magnitude."""

from __future__ import annotations

import numpy as np
import pytest
from history.slot_data import Reading, by_key, check, slots_of, values_by_slot
from hypothesis import given
from hypothesis import strategies as st

from tributary.history.slots import DAY_MS, HOUR_MS, MINUTE_MS, summarize, widen

FIRST_MS = 1_577_836_800_000  # 2020-01-01
usual = st.integers(-1000, 1000).map(lambda n: n / 8)
extreme = st.floats(allow_nan=False, allow_infinity=False)
huge = st.sampled_from([1.7976931348623157e308, -1.7976931348623157e308, 1e308, 9e307])
tiny = st.sampled_from([5e-324, 1e-310, -5e-324, 0.0, -0.0, 2.2250738585072014e-308])


def readings(values: st.SearchStrategy[float], max_size: int = 60) -> st.SearchStrategy[list]:
    times_ms = st.integers(FIRST_MS, FIRST_MS + 2 * DAY_MS)
    near_ms = st.integers(FIRST_MS, FIRST_MS + 3 * MINUTE_MS)
    names = st.sampled_from(["car-1", "car-2", "b/r"])
    metrics = st.sampled_from(["speed", "rpm"])
    return st.lists(
        st.tuples(names, metrics, st.one_of(times_ms, near_ms), values), max_size=max_size
    )


@given(
    st.one_of(readings(usual), readings(extreme), readings(huge), readings(tiny)),
    st.sampled_from([MINUTE_MS, HOUR_MS, DAY_MS]),
)
def test_summaries_equal_a_brute_force_fold(found: list[Reading], slot_ms: int):
    check(by_key(widen(slots_of(found), slot_ms)), values_by_slot(found, slot_ms))


def test_columns_of_series_that_occur_more_than_once_are_summarized_together():
    slots = summarize(
        [("b", "x"), ("a", "x"), ("b", "x")],
        np.array([2, 1, 1]),
        np.array([0, 60_000, 5, 10]),
        np.array([1.0, 2.0, 3.0, 4.0]),
        MINUTE_MS,
    )
    assert slots.series == [("a", "x"), ("b", "x")]
    assert slots.index.tolist() == [0, 1, 1]
    assert slots.slot_ms.tolist() == [0, 0, 60_000]
    assert slots.cells["count"].tolist() == [1, 2, 1]
    assert slots.cells["mean"].tolist() == [3.0, 2.5, 2.0]


@pytest.mark.parametrize("slot_ms", [MINUTE_MS, DAY_MS])
def test_nothing_is_summarized_as_nothing(slot_ms: int):
    assert len(widen(slots_of([]), slot_ms).cells) == 0
