"""Compares the stored aggregates of a device with its readings. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np

from tributary.model import reading
from tributary.model.aggregate import OVERFLOW_CELL, Layout, Records, opened
from tributary.model.window import Window
from tributary.operate.audit.recompute import (
    Exact,
    Floats,
    Ints,
    are_equal,
    by_slot,
    from_cell,
    summarize,
)
from tributary.store.series import Packed

SKEW_MS = 60_000  # allowed between the clocks of the machines


class Finding(NamedTuple):
    """A difference in one store."""

    store: str
    slot: str
    expected: Any
    found: Any


class Known(NamedTuple):
    """The readings of a series that were applied, and which slots have all of theirs.

    `since_ms`: every reading with a time at or after it is known; None: every reading.
    `bulk`: by ordinal, whether an entry has several readings: such an entry may be applied in
    slices, after those behind it, so of equal times another reading may be the last.
    """

    times_ms: Ints
    values: Floats
    ordinals: Ints  # of their entries
    bulk: bytearray
    since_ms: int | None

    def first_slot_ms(self, slot_ms: int) -> int:
        """The start of the first slot that can be compared."""
        return -(-(self.since_ms or 0) // slot_ms) * slot_ms


class Clock(NamedTuple):
    """The time, how far ahead of it readings may be, and since when slots are kept."""

    now_ms: int
    future_max_ms: int
    windows_since_ms: int = 0  # event time: slots that begin earlier may be gone


def compare(
    layout: Layout, stored: Packed, known: Known, clock: Clock
) -> tuple[list[Finding], int]:
    """The differences of one series, and how many summaries were compared."""
    if stored.state is None:
        if len(known.times_ms) == 0:
            return [], 0
        return [Finding("state", "", f"{len(known.times_ms)} readings", None)], 1
    try:
        state = np.frombuffer(stored.state, layout.state)[0]
        rings, more = (
            (layout.no_rings, b"") if stored.windows is None else layout.split(stored.windows)
        )
        overflow = np.frombuffer(more, OVERFLOW_CELL)
    except (ValueError, IndexError):
        return [Finding("state", "", "packed aggregates", "bytes of another length")], 1
    findings = [*_newest(state, known)]
    compared = 1
    if known.since_ms is None:
        compared += 1
        exact = summarize(known.values.tolist()) if len(known.values) else None
        findings += _cell("state", "total", exact, from_cell(state))
    if stored.is_short:
        return findings, compared
    newest_ms = int(state["times_ms"][-1])
    if newest_ms < (known.since_ms or 0) or newest_ms != max(known.times_ms, default=-1):
        return findings, compared  # nothing to compare, or the slots cannot be located
    for number, window in enumerate(layout.windows):
        found = _stored_slots(number, window, state, rings, overflow)
        expected = _expected_slots(window, newest_ms, known, clock)
        first_ms = min(expected.first_ms, expected.end_ms)
        found = {at: one for at, one in found.items() if first_ms <= at < expected.end_ms}
        compared += len(found.keys() | expected.slots.keys())
        open_ms = newest_ms // window.slot_ms * window.slot_ms
        for at in sorted(found.keys() | expected.slots.keys()):
            store = "state" if at == open_ms else "windows"
            slot = f"{window.name} {reading.rfc3339(at)}"
            findings += _cell(store, slot, expected.slots.get(at), found.get(at))
    return findings, compared


def _cell(store: str, slot: str, expected: Exact | None, found: Exact | None) -> Iterator[Finding]:
    if not are_equal(expected, found):
        shown = [None if each is None else each.shown() for each in (expected, found)]
        yield Finding(store, slot, *shown)


def _newest(state: Records, known: Known) -> Iterator[Finding]:
    """Compare the newest readings, by time and then by arrival."""
    since_ms, kept = known.since_ms or 0, len(state["times_ms"])
    expected = list(
        zip(known.times_ms[-kept:].tolist(), known.values[-kept:].tolist(), strict=True)
    )
    expected = [pair for pair in expected if pair[0] >= since_ms]
    stored = list(zip(state["times_ms"].tolist(), state["values"].tolist(), strict=True))
    found = [pair for pair in stored if pair[0] >= since_ms]
    if expected != found and not _differ_by_order(expected, found, known):
        yield Finding("state", "newest", expected, found)


def _differ_by_order(
    expected: list[tuple[int, float]], found: list[tuple[int, float]], known: Known
) -> bool:
    """Whether they differ only in readings of equal times, whose order cannot be known."""
    if [time_ms for time_ms, _ in expected] != [time_ms for time_ms, _ in found]:
        return False
    for time_ms in {a[0] for a, b in zip(expected, found, strict=True) if a != b}:
        is_it = known.times_ms == time_ms
        if not any(map(known.bulk.__getitem__, known.ordinals[is_it].tolist())):
            return False
        left = known.values[is_it].tolist()
        for at, value in found:
            if at == time_ms:
                if value not in left:
                    return False
                left.remove(value)
    return True


def _stored_slots(
    number: int, window: Window, state: Records, rings: Records, overflow: Records
) -> dict[int, Exact]:
    """The stored summaries of a window by the start of their slot: open, closed, overflow."""
    open_slot = int(state["times_ms"][-1]) // window.slot_ms
    ring = rings[window.name]
    held = np.flatnonzero(ring["count"])
    beyond = overflow[overflow["window"] == number]
    slots = [
        *beyond["slot"].tolist(),
        *(open_slot - 1 - (open_slot - 1 - held) % window.slots).tolist(),
        open_slot,
    ]
    cells = [*opened(beyond["cell"]), *opened(ring[held]), state["open"][number]]
    found = ((slot, from_cell(cell)) for slot, cell in zip(slots, cells, strict=True))
    return {slot * window.slot_ms: exact for slot, exact in found if exact is not None}


class _Expected(NamedTuple):
    """The slots that a window must have between two times."""

    slots: Mapping[int, Exact]
    first_ms: int
    end_ms: int


def _expected_slots(window: Window, newest_ms: int, known: Known, clock: Clock) -> _Expected:
    """The slots before that of the newest reading, and what windows at this time include."""
    size = window.slot_ms
    open_slot, now_slot = newest_ms // size, (clock.now_ms + SKEW_MS) // size
    ahead_max = -(-clock.future_max_ms // size)
    needed = min(max(now_slot, open_slot - ahead_max), open_slot) - window.slots
    since_ms = -(-clock.windows_since_ms // size) * size
    first_ms = max(0, needed * size, known.first_slot_ms(size), since_ms)
    end_ms = (open_slot + 1) * size
    slots = dict(by_slot(known.times_ms, known.values, size, first_ms, end_ms))
    return _Expected(slots, first_ms, end_ms)


def compare_document(
    layout: Layout, device: str, text: bytes | None, states: Mapping[str, bytes | None]
) -> Iterator[tuple[str, Finding]]:
    """Compare the document of a device with the states of its metrics; metric and difference."""
    newest_ms, known = -1, 0
    try:
        body = {} if text is None else msgspec.json.decode(text, type=dict[str, str | float])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        yield "", Finding("latest", "", "a JSON object", str(error))
        return
    for metric, packed in states.items():
        if packed is None or len(packed) != layout.state.itemsize:
            continue  # reported as a difference of state
        state, known = np.frombuffer(packed, layout.state)[0], known + 1
        values = state["values"][state["times_ms"] >= 0].tolist()
        newest_ms = max(newest_ms, int(state["times_ms"][-1]))
        current, average = body.get("current_" + metric), body.get("average_" + metric)
        if not values or current != values[-1]:
            yield metric, Finding("latest", "current", values[-1:], current)
        elif not _is_mean(average, summarize(values)):
            yield metric, Finding("latest", "average", summarize(values).mean, average)
    if known and body.get("device") != device:
        yield "", Finding("latest", "device", device, body.get("device"))
    is_whole = sum(name.startswith("current_") for name in body) == known
    if known and is_whole and body.get("recorded_at") != reading.rfc3339(newest_ms):
        recorded_at = body.get("recorded_at")
        yield "", Finding("latest", "recorded_at", reading.rfc3339(newest_ms), recorded_at)


def _is_mean(average: str | float | None, exact: Exact) -> bool:
    if not isinstance(average, int | float) or not math.isfinite(average):
        return False
    return are_equal(exact, exact._replace(mean=float(average)))
