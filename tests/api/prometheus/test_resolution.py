"""Which slots a query is computed from, and that they are enough and not too many."""

from __future__ import annotations

from itertools import pairwise

import pytest

from api.prometheus import resolution
from api.prometheus.bounds import SLOTS_MAX
from api.prometheus.resolution import LOOK_BACK_MS, Steps
from api.read.sources import Kept, Sources
from tributary.errors import Refused
from tributary.model.window import parse_windows

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
NOW_MS = 20_000 * DAY_MS + 11 * HOUR_MS + 7 * MINUTE_MS + 3_250
WINDOWS = parse_windows("1m/5s,15m/1m,1h/5m,24h/1h")
KEPT = (Kept(MINUTE_MS, 30 * DAY_MS), Kept(HOUR_MS, 730 * DAY_MS), Kept(DAY_MS, None))
BOTH, REDIS_ONLY, NOTHING = (
    Sources(NOW_MS, WINDOWS, KEPT),
    Sources(NOW_MS, WINDOWS, ()),
    Sources(NOW_MS, (), ()),
)
ALIGNED_MS = NOW_MS // HOUR_MS * HOUR_MS


def last(length_ms: int, step_ms: int, end_ms: int = ALIGNED_MS) -> Steps:
    return Steps(end_ms - length_ms, end_ms, step_ms)


@pytest.mark.parametrize(
    ("steps", "range_ms", "sources", "slot_ms", "is_close"),
    [
        (Steps(NOW_MS, NOW_MS, 0), MINUTE_MS, BOTH, 5_000, True),
        (Steps(NOW_MS, NOW_MS, 0), 5 * MINUTE_MS, BOTH, MINUTE_MS, False),
        (Steps(NOW_MS, NOW_MS, 0), 15 * MINUTE_MS, REDIS_ONLY, MINUTE_MS, True),
        (Steps(NOW_MS, NOW_MS, 0), 24 * HOUR_MS, BOTH, MINUTE_MS, True),
        (Steps(NOW_MS, NOW_MS, 0), 24 * HOUR_MS, REDIS_ONLY, HOUR_MS, True),
        (Steps(NOW_MS, NOW_MS, 0), 400 * DAY_MS, BOTH, DAY_MS, True),
        (last(6 * HOUR_MS, MINUTE_MS), 5 * MINUTE_MS, BOTH, MINUTE_MS, True),
        (last(6 * HOUR_MS, HOUR_MS), HOUR_MS, BOTH, HOUR_MS, True),
        (last(6 * HOUR_MS, 15_000), 5 * MINUTE_MS, BOTH, MINUTE_MS, False),
        (last(60 * DAY_MS, HOUR_MS), 6 * HOUR_MS, BOTH, HOUR_MS, True),
        (last(7 * DAY_MS, HOUR_MS), 2 * HOUR_MS, REDIS_ONLY, HOUR_MS, True),
    ],
)
def test_ranges_consist_of_the_widest_slots_that_fit(
    steps: Steps, range_ms: int, sources: Sources, slot_ms: int, *, is_close: bool
):
    choice = resolution.for_range(steps, range_ms, sources)
    assert (choice.span.slot_ms, choice.is_close) == (slot_ms, is_close)
    parts = choice.span.parts
    assert all(a.end_ms == b.begin_ms for a, b in pairwise(parts))
    assert parts[-1].end_ms >= steps.last_ms
    assert parts[0].begin_ms % slot_ms == 0


@pytest.mark.parametrize(
    ("steps", "sources", "slot_ms", "finer"),
    [
        (Steps(NOW_MS, NOW_MS, 0), BOTH, MINUTE_MS, [5_000]),
        (Steps(NOW_MS, NOW_MS, 0), REDIS_ONLY, MINUTE_MS, [5_000]),
        (last(HOUR_MS, MINUTE_MS), BOTH, MINUTE_MS, []),
        (last(6 * HOUR_MS, MINUTE_MS, NOW_MS), BOTH, MINUTE_MS, [5_000]),
        (last(7 * DAY_MS, HOUR_MS), BOTH, MINUTE_MS, []),
        (last(29 * DAY_MS, HOUR_MS), BOTH, HOUR_MS, [5 * MINUTE_MS, MINUTE_MS]),
        (last(29 * DAY_MS, HOUR_MS, NOW_MS), BOTH, HOUR_MS, [5 * MINUTE_MS, MINUTE_MS, 5_000]),
        (last(1000 * DAY_MS, DAY_MS), BOTH, DAY_MS, [HOUR_MS, 5 * MINUTE_MS, MINUTE_MS]),
        (last(2 * DAY_MS, HOUR_MS), REDIS_ONLY, HOUR_MS, [5 * MINUTE_MS, MINUTE_MS]),
    ],
)
def test_values_are_from_the_narrowest_slots_that_are_not_too_many(
    steps: Steps, sources: Sources, slot_ms: int, finer: list[int]
):
    span = resolution.for_latest(steps, LOOK_BACK_MS, sources).span
    assert span.slot_ms == slot_ms
    assert sum((p.end_ms - p.begin_ms) // p.slot_ms for p in span.parts) <= SLOTS_MAX + 1500
    narrower = [p.slot_ms for p in span.parts if p.window is not None and p.slot_ms < slot_ms]
    assert sorted(set(narrower), reverse=True) == finer


def test_beyond_what_is_kept_there_is_nothing():
    old = Steps(NOW_MS - 3 * DAY_MS, NOW_MS - 2 * DAY_MS, HOUR_MS)
    for sources in (REDIS_ONLY, NOTHING):
        assert resolution.for_range(old, HOUR_MS, sources).span.parts == []
        assert resolution.for_latest(old, LOOK_BACK_MS, sources).span.parts == []
    days = resolution.for_latest(Steps(0, NOW_MS, DAY_MS), LOOK_BACK_MS, BOTH)
    assert (days.span.slot_ms, days.span.begin_ms, days.is_close) == (DAY_MS, 0, False)


def test_a_range_shorter_than_the_slots_is_refused_with_the_width():
    with pytest.raises(Refused, match=r"use \[1h\] or more") as refused:
        resolution.for_range(last(60 * DAY_MS, HOUR_MS), 5 * MINUTE_MS, BOTH)
    assert refused.value.status == 422
