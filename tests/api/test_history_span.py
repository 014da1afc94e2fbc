"""Which slots a time span has, and where they come from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.read import span
from api.read.sources import Kept, Sources
from api.read.span import POINTS_MAX, SLOTS_MAX, SpanRequest
from tributary.errors import Refused
from tributary.model import reading
from tributary.model.window import parse_duration_ms, parse_windows

NOW_MS = reading.time_ms("2026-11-22T10:07:31.250Z")
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
KEPT = (Kept(MINUTE_MS, 30 * DAY_MS), Kept(HOUR_MS, 730 * DAY_MS), Kept(DAY_MS, None))
WINDOWS = parse_windows("1m/5s,15m/1m,1h/5m,24h/1h")
BOTH = Sources(NOW_MS, WINDOWS, KEPT)
ONLY_REDIS, ONLY_HISTORY = BOTH._replace(kept=()), BOTH._replace(windows=())


def length(text: str, slot: str | None = None) -> SpanRequest:
    return SpanRequest("window", text, None, None, slot)


def times(from_: str, to: str | None = None, slot: str | None = None) -> SpanRequest:
    return SpanRequest("window", None, from_, to, slot)


def rejection(wanted: SpanRequest, sources: Sources) -> Refused:
    with pytest.raises(Refused) as caught:
        span.slots(wanted, sources)
    assert caught.value.status == 400
    assert caught.value.code == f"invalid_{caught.value.field}"
    return caught.value


def origin(found: span.Span) -> list[str]:
    """The stored slots of each part, and where they are."""
    return [
        f"{span.duration(part.slot_ms)} {'history' if part.window is None else 'redis'}"
        for part in found.parts
    ]


@pytest.mark.parametrize(
    ("text", "slot", "from_", "parts"),
    [
        ("1s", "5s", "10:07:30", ["5s redis"]),
        ("60s", "5s", "10:06:30", ["5s redis"]),
        ("61s", "1m", "10:06:00", ["1m redis"]),
        ("24h", "1h", "10:00:00", ["1h redis"]),
        ("25h", "1h", "09:00:00", ["1h history", "1h redis"]),
        ("7d", "1h", "10:00:00", ["1h history", "1h redis"]),
        ("30d", "1h", "10:00:00", ["1h history", "1h redis"]),
        ("730d", "1h", "10:00:00", ["1h history", "1h redis"]),
        ("731d", "1d", "00:00:00", ["1d history", "1h history", "1h redis"]),
        ("999999999d", "1d", "00:00:00", ["1d history", "1h history", "1h redis"]),
    ],
)
def test_statistics_use_the_finest_slots_that_cover_the_window(
    text: str, slot: str, from_: str, parts: list[str]
):
    found = span.whole(length(text), BOTH)
    assert (span.duration(found.slot_ms), origin(found)) == (slot, parts)
    assert reading.rfc3339(found.begin_ms)[11:19] == from_
    assert (found.to_ms, found.end_ms) == (NOW_MS, (NOW_MS // found.slot_ms + 1) * found.slot_ms)


@pytest.mark.parametrize(
    ("wanted", "slot", "parts"),
    [
        (length("24h"), "1h", ["1h redis"]),
        (length("24h", "5m"), "5m", ["1m history", "5m redis"]),
        (length("7d"), "1h", ["1h history", "1h redis"]),
        (length("30d"), "1h", ["1h history", "1h redis"]),
        (length("42d"), "2h", ["1h history", "1h redis"]),
        (length("365d"), "12h", ["1h history", "1h redis"]),
        (length("30d", "1d"), "1d", ["1d history", "1h history", "1h redis"]),
        (length("9d", "90m"), "90m", ["1m history", "5m redis"]),
        (times("2026-11-22T10:07:00Z"), "5s", ["5s redis"]),
        (times("2026-11-22T10:00:00Z"), "1m", ["1m redis"]),
        (times("2026-11-22T09:00:00Z"), "1m", ["1m history", "1m redis"]),
        (times("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"), "2m", ["1m history"]),
        (times("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"), "1h", ["1h history"]),
        (times("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"), "1d", ["1d history"]),
        (times("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"), "1d", ["1d history"]),
        (times("0"), "28d", ["1d history", "1h history", "1h redis"]),
        (times("0", "9999-12-31T23:59:59Z"), "3584d", ["1d history", "1h history", "1h redis"]),
    ],
)
def test_a_chart_has_as_many_points_as_fit(wanted: SpanRequest, slot: str, parts: list[str]):
    found = span.slots(wanted, BOTH)
    assert (span.duration(found.slot_ms), origin(found)) == (slot, parts)
    reading.rfc3339(found.to_ms)


def test_a_time_span_has_the_slots_that_overlap_it_without_its_end():
    wanted = times("2026-11-20T10:00:30Z", "2026-11-20T10:03:00Z", "1m")
    found = span.slots(wanted, BOTH)
    assert reading.rfc3339(found.begin_ms) == "2026-11-20T10:00:00.000Z"
    assert reading.rfc3339(found.end_ms) == "2026-11-20T10:03:00.000Z"
    assert found.to_ms == found.end_ms


def test_a_series_that_redis_does_not_know_comes_from_the_history_alone():
    for text, slot in (("15m", "1m"), ("24h", "1h"), ("731d", "1d")):
        found = span.whole(length(text), ONLY_HISTORY)
        assert span.duration(found.slot_ms) == slot
        assert {part.window for part in found.parts} == {None}


@pytest.mark.parametrize(
    ("wanted", "sources", "message"),
    [
        (length("30d"), ONLY_REDIS, "at most|last 24h; TRIBUTARY_HISTORY=off"),
        (length("1m"), Sources(NOW_MS, (), ()), "no windows are kept"),
        (times("2026-11-01T00:00:00Z"), ONLY_REDIS, "TRIBUTARY_HISTORY=off"),
        (length("1h", "7s"), BOTH, "use 1m or a multiple"),
        (length("60d", "1m"), BOTH, "use 1h or a multiple"),
        (length("800d", "1h"), BOTH, "use 1d or a multiple"),
        (length("30d", "1m"), BOTH, "43201 slots, more than 10000; use 5m or more"),
        (length("15m", "5s"), ONLY_HISTORY, "use 1m or a multiple"),
        (times("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"), BOTH, "later than from"),
        (times("2026-11-22T10:07:32Z"), BOTH, "in the past"),
    ],
)
def test_names_the_remedy(wanted: SpanRequest, sources: Sources, message: str):
    assert any(part in rejection(wanted, sources).message for part in message.split("|"))


durations = st.one_of(
    st.integers(1, 120).map(lambda n: f"{n}s"),
    st.integers(1, 2_000).map(lambda n: f"{n}m"),
    st.integers(1, 2_000).map(lambda n: f"{n}h"),
    st.integers(1, 1_000).map(lambda n: f"{n}d"),
)


@given(
    now_ms=st.integers(0, 4 * 10**12),
    age_ms=st.integers(0, 3 * 10**12),
    slot=durations,
    windows=st.sampled_from([WINDOWS, (), *map(parse_windows, ("12m/90s", "2h/1m,8h/30s"))]),
    has_history=st.booleans(),
)
def test_parts_cover_every_slot_once_and_are_kept(
    now_ms: int, age_ms: int, slot: str, windows: tuple, *, has_history: bool
):
    slot_ms = parse_duration_ms(slot)
    sources = Sources(now_ms, windows, KEPT if has_history else ())
    begin_ms = max(0, now_ms - age_ms) // slot_ms * slot_ms
    end_ms = (now_ms // slot_ms + 1) * slot_ms
    parts = sources.parts(begin_ms, end_ms, slot_ms)
    if parts is None:
        return
    assert [part.begin_ms for part in parts] == [begin_ms, *(part.end_ms for part in parts[:-1])]
    assert parts[-1].end_ms == end_ms
    for part in parts:
        assert part.begin_ms < part.end_ms
        assert slot_ms % part.slot_ms == part.begin_ms % part.slot_ms == 0
        if part.window is not None:
            window = windows[part.window]
            assert part.begin_ms // window.slot_ms >= now_ms // window.slot_ms - window.slots
        else:
            (kept,) = (kept for kept in KEPT if kept.slot_ms == part.slot_ms)
            assert part.begin_ms >= kept.first_ms(now_ms)


@given(durations, st.sampled_from([BOTH, ONLY_REDIS, ONLY_HISTORY]))
def test_a_chart_without_a_slot_is_bounded(text: str, sources: Sources):
    try:
        found = span.slots(length(text), sources)
    except Refused:
        assert sources is ONLY_REDIS
        return
    assert (found.end_ms - found.begin_ms) // found.slot_ms <= POINTS_MAX < SLOTS_MAX
