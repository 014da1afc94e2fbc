"""The increase of counters, compared with its definition over all readings."""

from __future__ import annotations

from bisect import bisect_right, insort
from itertools import pairwise
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tributary.model.counter import Clock, Counter, Form, Known, RollOver
from tributary.model.window import Window, parse_windows

WINDOWS = parse_windows("10s/2s,60s/5s,10m/1m")
START_MS = 1_700_000_000_000
NO_ROLL_OVER = RollOver()
START = Clock(START_MS, 0)


class Reading(NamedTuple):
    """A reading, and the time of the clock when it arrives."""

    time_ms: int
    value: float
    now_ms: int


def exact(
    readings: list[Reading], roll_over: RollOver, window: Window, now_ms: int
) -> dict[int, float]:
    """The increase of each slot of a window at a time, of readings that all count."""
    ordered = sorted(readings, key=lambda reading: reading.time_ms)
    found: dict[int, float] = {}
    for before, after in pairwise(ordered):
        slot = after.time_ms // window.slot_ms
        found[slot] = found.get(slot, 0.0) + roll_over.increase(before.value, after.value)
    first, last = (now_ms - window.length_ms) // window.slot_ms, now_ms // window.slot_ms
    return {slot: found[slot] for slot in found if first <= slot <= last}


def counted(readings: list[Reading], known_max: int) -> list[Reading]:
    """Those that are not earlier than all known readings, or are the first of all."""
    times: list[int] = []
    found: list[Reading] = []
    for number, reading in enumerate(readings):
        newest = times[-known_max:]
        if number <= known_max or bisect_right(newest, reading.time_ms):
            found.append(reading)
        insort(times, reading.time_ms)
    return found


def stored(counter: Counter, number: int, now_ms: int) -> dict[int, float]:
    window = WINDOWS[number]
    first, last = (now_ms - window.length_ms) // window.slot_ms, now_ms // window.slot_ms
    found = dict(zip(*map(list, counter.slots(number)), strict=True))
    return {slot: gained for slot, gained in found.items() if first <= slot <= last and gained}


def check(counter: Counter, readings: list[Reading], roll_over: RollOver, now_ms: int) -> None:
    for number, window in enumerate(WINDOWS):
        expected = exact(readings, roll_over, window, now_ms)
        expected = {slot: gained for slot, gained in expected.items() if gained}
        assert stored(counter, number, now_ms) == pytest.approx(expected)


def _arrivals(seed: int) -> list[Reading]:
    """Readings at the pace of a clock, some of them late or ahead, with small whole values."""
    chance, now_ms, found = Random(seed), START_MS, []
    for _ in range(chance.randint(1, 40)):
        now_ms += chance.choice((0, 300, 1_000, 4_000, 30_000, 200_000))
        late_ms = chance.choice((0, 0, 0, 1_000, 5_000, 40_000, -3_000, -20_000))
        found.append(Reading(now_ms - late_ms, float(chance.randint(0, 12)), now_ms))
    return found


ARRIVALS = st.builds(_arrivals, st.integers(0, 1 << 32))
ROLL_OVERS = st.sampled_from((NO_ROLL_OVER, RollOver(16.0)))


@given(ARRIVALS, ROLL_OVERS, st.integers(1, 4))
def test_the_increase_is_that_of_the_definition(
    readings: list[Reading], roll_over: RollOver, known: int
):
    """Late readings can still be in the wrong place: so slots are compared that have all of theirs."""
    counter = Counter(Form(WINDOWS, known), roll_over)
    for reading in readings:
        counter.add(reading.time_ms, reading.value, Clock(reading.now_ms, 20_000))
    check(counter, counted(readings, known), roll_over, readings[-1].now_ms)


@given(ARRIVALS, ROLL_OVERS)
def test_late_readings_among_the_known_ones_count_as_if_they_were_not_late(
    readings: list[Reading], roll_over: RollOver
):
    counter, now_ms = Counter(Form(WINDOWS, 40), roll_over), readings[-1].now_ms
    for reading in readings:
        counter.add(reading.time_ms, reading.value, Clock(reading.now_ms, 20_000))
    check(counter, readings, roll_over, now_ms)


@given(st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 9)), min_size=2), st.randoms())
def test_a_counter_without_resets_gains_the_same_in_any_order(
    steps: list[tuple[int, int]], random: Random
):
    """However late its readings are: the sum is that of the last and the first one that count."""
    total, time_ms, readings = 0, START_MS, []
    for pause_ms, gained in steps:
        time_ms, total = time_ms + pause_ms, total + gained
        readings.append((time_ms, float(total)))
    first, others = readings[0], readings[1:]
    random.shuffle(others)
    window = Window("1d", 86_400_000, 3_600_000)
    counter = Counter(Form((window,), 3), NO_ROLL_OVER)
    for time_ms, value in [first, *others]:
        counter.add(time_ms, value, Clock(time_ms, 0))
    newest = max(others, key=lambda reading: reading[0])
    highest = max(value for at_ms, value in others if at_ms == newest[0])
    if len({at_ms for at_ms, _ in readings}) == len(readings):
        assert counter.slots(0)[1].sum() == highest - first[1]


@given(ARRIVALS, ROLL_OVERS, st.integers(1, 4), st.randoms())
def test_a_counter_that_is_stored_and_restored_at_any_time_goes_on(
    readings: list[Reading], roll_over: RollOver, known_max: int, random: Random
):
    """Readings after it was stored that are in order are only in the state."""
    form = Form(WINDOWS, known_max)
    plain, restored = Counter(form, roll_over), Counter(form, roll_over)
    packed, pending, newest = None, 0, []
    for count, reading in enumerate(readings, 1):
        clock = Clock(reading.now_ms, 20_000)
        plain.add(reading.time_ms, reading.value, clock)
        restored.add(reading.time_ms, reading.value, clock)
        is_in_order = all(reading.time_ms > time_ms for time_ms, _ in newest)
        newest = sorted([*newest, reading[:2]], key=lambda pair: pair[0])[-known_max:]
        pending = pending + 1 if is_in_order and packed and pending + 1 < known_max else 0
        packed = packed if pending else restored.packed()
        if random.random() < 0.5:
            known = Known(*map(list, zip(*newest, strict=True)), count, pending)
            restored = Counter.restore(form, roll_over, packed, known, clock)
        cells_end = 16 + 8 * form.cells  # what windows do not need any more may be kept or not
        assert restored.packed()[:cells_end] == plain.packed()[:cells_end]
        for number in range(len(WINDOWS)):
            assert stored(restored, number, clock.now_ms) == stored(plain, number, clock.now_ms)


def test_a_series_that_was_no_counter_counts_from_its_known_readings_on():
    known = Known([START_MS, START_MS + 1_000, START_MS + 2_000], [5.0, 7.0, 8.0], 100, 1)
    outdated = Counter(Form(WINDOWS, 3), NO_ROLL_OVER)
    for packed in (None, outdated.packed(), b"of other windows"):
        found = Counter.restore(Form(WINDOWS, 3), NO_ROLL_OVER, packed, known, START)
        assert (found.count, found.first_ms) == (100, START_MS)
        assert sum(stored(found, 0, START_MS + 2_000).values()) == 3
        found.add(START_MS - 1, 1.0, START)  # earlier readings do not count
        assert sum(stored(found, 0, START_MS + 2_000).values()) == 3


@pytest.mark.parametrize(
    ("before", "after", "at", "gained"),
    [
        (10, 12, None, 2),
        (10, 10, None, 0),
        (10, 3, None, 3),  # reset
        (10, -3, None, 0),
        (-5, -3, None, 2),
        (4_294_967_000, 200, 2**32, 496),  # rolled over
        (1_000_000, 5, 2**32, 5),  # reset: it would have gained most of the range
        (2**31, 0, 2**32, 0),  # exactly half of the range: reset
        (2**31 + 1, 0, 2**32, 2**31 - 1),
        (2**32, 5, 2**32, 5),  # it cannot have that value, so it is another kind of counter
        (4_294_967_000, -1, 2**32, 0),
        (999_999.5, 0.5, 1e6, 1),
    ],
)
def test_the_increase_between_two_readings(
    before: float, after: float, at: float | None, gained: float
):
    assert RollOver(at).increase(before, after) == gained
