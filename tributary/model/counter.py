"""The increase of a counter, by slot of each window. Pure.

A counter is a metric whose value only increases: an odometer, an energy meter, a number of packets.
The readings of a series are ordered by their times, and by arrival if these are equal. Each one
except for the first adds to the slot of its time what the counter has gained since the one
before it, see `increase`, also if that one is in another slot or has left the window.

Known of a series are its newest readings in this order, as many as the average has. What a
reading adds when it arrives:

1. If it belongs behind all others, the increase from the newest reading to it, to its own slot.
2. If it belongs between two known readings a and b: the increase from a to it, to its own slot; and
   to the slot of b the increase from it to b, minus that from a to b, which was added before.
3. If it is earlier than every reading of the series, the increase from it to the earliest one, to
   the slot of the latter.
4. If it is earlier than all known readings, but not than all of the series, nothing: what the
   counter gained until then was added with a reading behind it.

So no increase is added twice. As long as no reading arrives after more readings behind it than are
known, or the counter is not reset, the sum over all slots is that of the definition; otherwise
what the counter gained before a reset may be missing. A slot that windows no longer need
when it would be added to does not change.

The result depends only on the order of arrival, and not on how readings are divided into batches.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tributary.model.groups import Floats, Ints
from tributary.model.window import Window

_HEAD = struct.Struct("<qq")
_BEYOND = np.dtype([("window", "<u4"), ("slot", "<i8"), ("increase", "<f8")])


class RollOver(NamedTuple):
    """Where a counter begins again at 0: the value that it never reaches, as 2 ** 32; None: never."""

    at: float | None = None

    def increase(self, before: float, after: float) -> float:
        """What a counter has gained between two consecutive readings.

        A smaller value is that of a counter that was reset and has counted from 0 since. If it
        rolls over at r, it has gained r - before + after instead, as long as this is less than
        half of r: a counter that is read twice per round is read often enough to be certain.
        """
        if after >= before:
            return after - before
        at = self.at
        if at is not None and after >= 0 and before < at and at - before + after < at / 2:
            return at - before + after
        return max(after, 0.0)


class Clock(NamedTuple):
    """The time, and how far ahead of it readings may be; see `aggregator/overflow.py`."""

    now_ms: int
    future_max_ms: int

    def first(self, window: Window, newest: int) -> int:
        """The oldest slot that a window needs, given the slot of the newest reading."""
        ahead_max = -(-self.future_max_ms // window.slot_ms)
        return min(max(self.now_ms // window.slot_ms, newest - ahead_max), newest) - window.slots


ALWAYS = Clock(0, 1 << 60)  # when no slot is dropped


class Form:
    """Where the slots of some windows are among the cells of a counter.

    Slot number s of a window with n closed slots is in cell s % (n + 1) of those of the window:
    the slot of the newest reading, and the n slots before it.
    """

    def __init__(self, windows: tuple[Window, ...], known_max: int) -> None:
        """`known_max`: how many of the newest readings are known."""
        self.windows = windows
        self.known_max = known_max
        sizes = [window.slots + 1 for window in windows]
        firsts = [sum(sizes[:number]) for number in range(len(sizes))]
        self.places = [
            (window.slot_ms, first, size)
            for window, first, size in zip(windows, firsts, sizes, strict=True)
        ]
        self.cells = sum(sizes)


class Counter:
    """The increases of one series."""

    __slots__ = (
        "_beyond", "_cells", "_form", "_roll_over", "_times_ms", "_values",
        "count", "first_ms", "is_due",
    )  # fmt: skip

    def __init__(self, form: Form, roll_over: RollOver) -> None:
        """A counter without readings."""
        self.count = 0
        self.first_ms = -1  # time of the first reading whose value counts; -1: none
        self.is_due = True  # whether it must be stored now: nothing is stored of it
        self._form = form
        self._roll_over = roll_over
        self._times_ms: list[int] = []
        self._values: list[float] = []
        self._cells = array("d", bytes(8 * form.cells))
        self._beyond: dict[tuple[int, int], float] = {}  # by number of the window, and slot

    def add(self, time_ms: int, value: float, clock: Clock) -> None:
        """Add a reading, the next one to arrive."""
        times_ms, values, increase = self._times_ms, self._values, self._roll_over.increase
        self.count += 1
        at = bisect_right(times_ms, time_ms)
        if at == len(times_ms):
            if at:
                self._move(times_ms[-1], time_ms, clock)
                self._add(time_ms, increase(values[-1], value), time_ms, clock)
            else:
                self.first_ms = time_ms
        elif at:
            behind = values[at]
            before = increase(values[at - 1], behind)
            self._add(time_ms, increase(values[at - 1], value), times_ms[-1], clock)
            self._add(times_ms[at], increase(value, behind) - before, times_ms[-1], clock)
        elif self.count <= self._form.known_max + 1:
            self.first_ms = time_ms
            self._add(times_ms[0], increase(value, values[0]), times_ms[-1], clock)
        else:
            return
        times_ms.insert(at, time_ms)
        values.insert(at, value)
        if len(times_ms) > self._form.known_max:
            del times_ms[0], values[0]

    def _move(self, before_ms: int, after_ms: int, clock: Clock) -> None:
        """Empty the cells of the slots between two newest readings, and of that of the latter."""
        for number, (slot_ms, first, size) in enumerate(self._form.places):
            before, after = before_ms // slot_ms, after_ms // slot_ms
            if before == after:
                continue
            if after > clock.now_ms // slot_ms or self._beyond:
                self._keep_needed(number, before, after, clock)
            for slot in range(max(before, after - size) + 1, after + 1):
                self._cells[first + slot % size] = 0.0

    def _keep_needed(self, number: int, before: int, after: int, clock: Clock) -> None:
        """Keep what leaves the cells and is needed, and drop what was kept and is not."""
        window, (_, first, size) = self._form.windows[number], self._form.places[number]
        needed = clock.first(window, after)
        for at in [at for at in self._beyond if at[0] == number and at[1] < needed]:
            del self._beyond[at]
        for slot in range(max(before - size + 1, needed), min(before, after - size) + 1):
            if gained := self._cells[first + slot % size]:
                self._beyond[number, slot] = gained

    def _add(self, time_ms: int, gained: float, newest_ms: int, clock: Clock) -> None:
        if not gained:
            return
        for number, (slot_ms, first, size) in enumerate(self._form.places):
            slot, newest = time_ms // slot_ms, newest_ms // slot_ms
            if slot > newest - size:
                self._cells[first + slot % size] += gained
            elif slot >= clock.first(self._form.windows[number], newest):
                at = number, slot
                self._beyond[at] = self._beyond.get(at, 0.0) + gained

    def slots(self, number: int) -> tuple[Ints, Floats]:
        """The slots of a window, by number of the slot, and the increase of each."""
        slot_ms, first, size = self._form.places[number]
        beyond = sorted(at for at in self._beyond if at[0] == number)
        newest = self._times_ms[-1] // slot_ms if self._times_ms else -1
        held = np.arange(newest - size + 1, newest + 1)
        cells = np.array(self._cells[first : first + size])[held % size]
        slots = np.array([slot for _, slot in beyond], np.int64)
        gained = np.array([self._beyond[at] for at in beyond], np.float64)
        return np.concatenate([slots, held]), np.concatenate([gained, cells])

    def packed(self) -> bytes:
        """As it is stored; it does not include the known readings, which the state has."""
        head = _HEAD.pack(self.count, self.first_ms)
        cells = np.asarray(self._cells, "<f8").tobytes()
        if not self._beyond:
            return head + cells
        beyond = [(*at, gained) for at, gained in sorted(self._beyond.items())]
        return head + cells + np.array(beyond, _BEYOND).tobytes()

    @classmethod
    def restore(
        cls, form: Form, roll_over: RollOver, packed: bytes | None, known: Known, clock: Clock
    ) -> Counter:
        """The counter of a series, from what is stored of it and the readings that are known.

        If it was not a counter when the last of them arrived, or is stored for other
        windows, it counts from the first known reading on.
        """
        found = cls(form, roll_over)
        if packed is not None and found._has_restored(packed, known):
            missing = len(known.times_ms) - known.pending
        else:
            missing, found.count = 0, known.readings - len(known.times_ms)
        for time_ms, value in zip(known.times_ms[missing:], known.values[missing:], strict=True):
            found.add(time_ms, value, clock)
        return found

    def _has_restored(self, packed: bytes, known: Known) -> bool:
        """Whether what is stored belongs to the known readings without those that are pending."""
        cells_end = _HEAD.size + 8 * self._form.cells
        if len(packed) < cells_end or (len(packed) - cells_end) % _BEYOND.itemsize:
            return False
        count, first_ms = _HEAD.unpack_from(packed)
        if count != known.readings - known.pending:
            return False
        last = len(known.times_ms) - known.pending
        self.count, self.first_ms, self.is_due = count, first_ms, False
        self._times_ms, self._values = list(known.times_ms[:last]), list(known.values[:last])
        cells = np.frombuffer(packed, "<f8", self._form.cells, _HEAD.size)
        self._cells = array("d", cells.astype(np.float64).tobytes())
        beyond = np.frombuffer(packed, _BEYOND, offset=cells_end)
        self._beyond = {(window, slot): gained for window, slot, gained in beyond.tolist()}
        return True


class Known(NamedTuple):
    """The newest readings of a series, in order."""

    times_ms: Sequence[int]
    values: Sequence[float]
    readings: int  # of the series, in all
    pending: int  # the last of these arrived after what is stored was written, in order

    @classmethod
    def of(cls, state: NDArray[np.void] | np.void, pending: int) -> Known:
        """Those of a `Layout.state` record that is not empty."""
        count = int(state["count"])
        kept = min(count, len(state["times_ms"]))
        times_ms = state["times_ms"][-kept:].tolist() if kept else []
        values = state["values"][-kept:].tolist() if kept else []
        return cls(times_ms, values, count, pending)
