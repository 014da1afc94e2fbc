"""The quantiles of a series, by slot of each window of 15 minutes or more. Pure.

A closed slot has a sketch, see `distribution.py`: its count and extremes are those of the rings,
and seven bytes are stored here. Of the first of these windows the open slot has values, see
`open_slot.py`; when it closes, they become its sketch. A slot of a longer window gets its sketch
when it closes, from those of the slots of the window before it; until then, these describe it.
A late reading is merged into the sketches of the closed slots that it belongs to.

Like the increase of a counter, the result depends on the order of arrival alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np

from tributary.errors import Misconfigured
from tributary.model.aggregate import Layout, Records
from tributary.model.counter import Clock, Known
from tributary.model.distribution import RANKS, SKETCH, UNKNOWN, Curve, Sketch, joined
from tributary.model.groups import Floats
from tributary.model.open_slot import OpenSlot

LENGTH_MIN_MS = 900_000
_HEAD = struct.Struct("<qI")  # readings of the series; number of sketches beyond the rings
_BEYOND = np.dtype([("window", "<u4"), ("slot", "<i8"), ("marks", "u1", (len(RANKS),))])
_MARKS = np.dtype(("u1", (len(RANKS),)))
_NOTHING = np.zeros((), SKETCH)[()]


class Rows(NamedTuple):
    """What a row has of a series: `Layout.state`, `Layout.rings` and `OVERFLOW_CELL` records.

    `pending`: how many of the newest readings have arrived since the quantiles were stored.
    """

    state: Any
    rings: Any
    overflow: Records
    pending: int


class Form:
    """The windows that have quantiles."""

    def __init__(self, layout: Layout, *, is_needed: bool = True) -> None:
        """The windows of a layout; none unless a metric has quantiles.

        Raises:
            Misconfigured: none is long enough, or their slots do not consist of each other.
        """
        self.numbers = [n for n, w in enumerate(layout.windows) if w.length_ms >= LENGTH_MIN_MS]
        self.windows = [layout.windows[n] for n in self.numbers]
        self.marks = sum(window.slots for window in self.windows)
        if not is_needed:
            return
        if not self.windows:
            raise Misconfigured(
                "a metric with quantiles needs a window of 15m or more; add one to "
                "TRIBUTARY_WINDOWS, or remove quantiles from the catalogue"
            )
        for finer, wider in pairwise(self.windows):
            if wider.slot_ms % finer.slot_ms or finer.length_ms < wider.slot_ms:
                raise Misconfigured(
                    f"quantiles of {wider.name} need slots that consist of those of {finer.name}, "
                    "which must be as long as one of them; change TRIBUTARY_WINDOWS, or remove "
                    "quantiles from the catalogue"
                )


class Quantiles:
    """The sketches of one series."""

    __slots__ = ("_beyond", "_form", "_open", "_rings", "count", "is_due", "newest_ms")

    def __init__(self, form: Form) -> None:
        """Those of a series without readings."""
        self.count = 0
        self.newest_ms = -1
        self.is_due = True  # whether it must be stored now: a slot has closed
        self._form = form
        self._open = OpenSlot()
        self._rings = [np.zeros(window.slots, SKETCH) for window in form.windows]
        self._beyond: dict[tuple[int, int], Sketch] = {}  # by number of the window, and slot

    def add(self, time_ms: int, value: float, clock: Clock) -> None:
        """Add a reading, the next one to arrive."""
        self.count += 1
        slot_ms = self._form.windows[0].slot_ms
        if self.newest_ms < 0 or time_ms // slot_ms == self.newest_ms // slot_ms:
            self.newest_ms = max(self.newest_ms, time_ms)
            self._open.add(value)
            return
        self.is_due = True
        if time_ms < self.newest_ms:
            self._add_late(time_ms, value, clock)
            return
        self._move(time_ms, clock)
        self._open = OpenSlot()
        self._open.add(value)

    def _add_late(self, time_ms: int, value: float, clock: Clock) -> None:
        for number, window in enumerate(self._form.windows):
            slot, newest = time_ms // window.slot_ms, self.newest_ms // window.slot_ms
            if clock.first(window, newest) <= slot < newest:
                held = self._at(number, slot)
                self._put(number, slot, _with_reading(held, value), newest)

    def _move(self, after_ms: int, clock: Clock) -> None:
        """Close the open slots before that of the newest reading, and make room."""
        before_ms = self.newest_ms
        slots = [(before_ms // w.slot_ms, after_ms // w.slot_ms) for w in self._form.windows]
        closing = [number for number, (before, after) in enumerate(slots) if before < after]
        left = [self._open_sketch(number) for number in closing]
        self.newest_ms = after_ms
        for number, sketch in zip(closing, left, strict=True):
            window, (before, after) = self._form.windows[number], slots[number]
            needed = clock.first(window, after)
            for at in [at for at in self._beyond if at[0] == number and at[1] < needed]:
                del self._beyond[at]
            ring, size = self._rings[number], window.slots
            for slot in range(max(before - size, needed), min(before, after - size)):
                if ring[slot % size]["count"]:
                    self._beyond[number, slot] = ring[slot % size].copy()
            for slot in range(max(before, after - size - 1) + 1, after):
                ring[slot % size] = _NOTHING
            if before >= needed:
                self._put(number, before, sketch, after)

    def _open_sketch(self, number: int) -> Sketch:
        """The sketch of the open slot of a window."""
        if number == 0 and not self._open.is_unknown:
            return self._open.sketch()
        curves = self._open_curves(number)
        known = [curve for curve in curves if curve is not None]
        if len(known) == len(curves):
            return joined(known).sketch()
        parts = [self._open.extremes(), *(s for n in range(number) for s in self._finer(n + 1))]
        return _without_marks(np.array(parts, SKETCH))

    def _open_curves(self, number: int) -> list[Curve | None]:
        """The distributions that make up the open slot of a window; None for unknown ones."""
        if number == 0:
            return [self._open.curve()]
        finer = [Curve.of_slot(slot) for slot in self._finer(number)]
        return [*finer, *self._open_curves(number - 1)]

    def _finer(self, number: int) -> Iterator[Sketch]:
        """The closed slots of the window before that are in the open slot of a window."""
        window, finer = self._form.windows[number], self._form.windows[number - 1]
        first = self.newest_ms // window.slot_ms * window.slot_ms // finer.slot_ms
        for slot in range(first, self.newest_ms // finer.slot_ms):
            found = self._at(number - 1, slot)
            if found["count"]:
                yield found

    def _at(self, number: int, slot: int) -> Sketch:
        """The sketch of a closed slot."""
        size = self._form.windows[number].slots
        newest = self.newest_ms // self._form.windows[number].slot_ms
        if slot >= newest - size:
            return self._rings[number][slot % size]
        return self._beyond.get((number, slot), _NOTHING)

    def _put(self, number: int, slot: int, sketch: Sketch, newest: int) -> None:
        size = self._form.windows[number].slots
        if slot >= newest - size:
            self._rings[number][slot % size] = sketch
        else:
            self._beyond[number, slot] = sketch

    def values(self, number: int, slots: range, ranks: Floats) -> Floats | None:
        """The quantiles of some slots of a window; None if they have none or one is unknown."""
        form_number = self._form.numbers.index(number)
        newest = self.newest_ms // self._form.windows[form_number].slot_ms
        curves = [self._open_curves(form_number)] if newest in slots else []
        closed = (self._at(form_number, slot) for slot in slots if slot < newest)
        found = [*(Curve.of_slot(slot) for slot in closed if slot["count"]), *chain(*curves)]
        if not found or None in found:
            return None
        return joined([curve for curve in found if curve is not None]).at(ranks)

    def sketches(self, number: int) -> Records:
        """The closed slots of a window, by cell of its ring."""
        return self._rings[self._form.numbers.index(number)]

    def packed(self) -> bytes:
        """As it is stored."""
        marks = b"".join([ring["marks"].tobytes() for ring in self._rings])
        beyond = [(*at, slot["marks"]) for at, slot in sorted(self._beyond.items())]
        head = _HEAD.pack(self.count, len(beyond))
        return head + marks + np.array(beyond, _BEYOND).tobytes() + self._open.packed()

    @classmethod
    def restore(cls, form: Form, packed: bytes | None, rows: Rows, clock: Clock) -> Quantiles:
        """The quantiles of a series, from what is stored of them and of its row.

        If the metric had none when the last readings arrived, or for other windows, those of
        slots with readings until then remain unknown.
        """
        found = cls(form)
        known, pending = Known.of(rows.state, rows.pending), rows.pending
        if not known.readings:
            return found
        found.newest_ms = known.times_ms[len(known.times_ms) - pending - 1]
        found._fill(rows)
        if packed is None or not found._has_restored(packed, known.readings - pending):
            found.newest_ms, found.count = known.times_ms[-1], known.readings
            found._begin(rows)
            return found
        found.is_due = False
        for back in range(pending, 0, -1):
            found.add(known.times_ms[-back], known.values[-back], clock)
        return found

    def _fill(self, rows: Rows) -> None:
        """Take count and extremes of closed slots from the row; their marks are unknown."""
        for number, (window, ring) in enumerate(zip(self._form.windows, self._rings, strict=True)):
            for name in ("count", "min", "max"):
                ring[name] = rows.rings[window.name][name]
            ring["marks"] = UNKNOWN
            at = rows.overflow["window"] == self._form.numbers[number]
            for slot, cell in zip(
                rows.overflow["slot"][at], rows.overflow["cell"][at], strict=True
            ):
                one = (cell["count"], cell["min"], cell["max"], UNKNOWN)
                self._beyond[number, int(slot)] = np.array(one, SKETCH)[()]

    def _has_restored(self, packed: bytes, count: int) -> bool:
        """Whether what is stored belongs to the row."""
        marks_end = _HEAD.size + self._form.marks * len(RANKS)
        if len(packed) < marks_end:
            return False
        self.count, beyond = _HEAD.unpack_from(packed)
        beyond_end = marks_end + beyond * _BEYOND.itemsize
        if self.count != count or len(packed) < beyond_end:
            return False
        try:
            self._open = OpenSlot.parse(packed[beyond_end:])
        except ValueError:
            return False
        marks = np.frombuffer(packed, _MARKS, self._form.marks, _HEAD.size)
        firsts = np.cumsum([window.slots for window in self._form.windows])[:-1]
        for ring, part in zip(self._rings, np.split(marks, firsts), strict=True):
            ring["marks"] = part
        for number, slot, one in np.frombuffer(packed, _BEYOND, beyond, marks_end):
            if (held := self._beyond.get((int(number), int(slot)))) is not None:
                held["marks"] = one
        return True

    def _begin(self, rows: Rows) -> None:
        """Begin with what is known of the open slot: its count and extremes."""
        cell = rows.state["open"][self._form.numbers[0]]
        self._open = OpenSlot()
        self._open.count, self._open.is_unknown = int(cell["count"]), True
        self._open.low, self._open.high = float(cell["min"]), float(cell["max"])


def _with_reading(slot: Sketch, value: float) -> Sketch:
    """The sketch of a closed slot with another reading."""
    one = Curve.of_one(value)
    if not slot["count"]:
        return one.sketch()
    curve = Curve.of_slot(slot)
    if curve is None:
        return _without_marks(np.array([slot, one.sketch()], SKETCH))
    return joined([curve, one]).sketch()


def _without_marks(slots: Records) -> Sketch:
    """The sketch of slots, if the distribution of some is unknown."""
    total, low, high = slots["count"].sum(), slots["min"].min(), slots["max"].max()
    return np.array((total, low, high, UNKNOWN), SKETCH)[()]
