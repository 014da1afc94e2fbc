"""The slots of windows: closes open slots when time moves on, and merges readings into slots.

Vectorised over the series of a batch, like the fold that calls it.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from aggregator.overflow import Horizon
from tributary.model.aggregate import Layout, Records, clear, closed, merge, opened
from tributary.model.groups import Groups, Ints, lengths, summary
from tributary.model.window import Window

Flags = NDArray[np.bool_]

NO_CELLS = (np.empty(0, np.int64), np.empty(0, np.int64))


class Changed:
    """Cells of rings that a batch has changed, as positions among its series and cell numbers.

    The cells of all windows of a series are numbered through, in the order of `Layout.rings`.
    """

    def __init__(self, layout: Layout) -> None:
        self._first = layout.first_cells
        self._parts: list[tuple[Ints, Ints]] = []

    def add(self, number: int, series: Ints, cells: Ints) -> None:
        """Cells of a window, by number."""
        if len(series):
            self._parts.append((series, cells + self._first[number]))

    def distinct(self) -> tuple[Ints, Ints]:
        """All of them, each once."""
        if not self._parts:
            return NO_CELLS
        series, cells = map(np.concatenate, zip(*self._parts, strict=True))
        total = int(self._first[-1])
        return np.divmod(np.unique(series * total + cells), total)


class Moves(NamedTuple):
    """How a batch moves the open slots: one row per series, one column per window."""

    layout: Layout
    open: Records
    before: Ints  # number of the open slot
    after: Ints
    in_open_slot: Flags  # whether all readings of the series belong to the open slot
    horizon: Horizon | None  # None: nothing is kept beyond the rings
    changed: Changed

    @classmethod
    def of(
        cls,
        layout: Layout,
        part: Records,
        newest_before: Ints,
        groups: Groups,
        horizon: Horizon | None,
    ) -> Self:
        """The step from the newest reading before the batch to the newest one after it."""
        slots_ms = layout.slots_ms
        before = newest_before[:, None] // slots_ms
        after = part["times_ms"][:, -1:] // slots_ms
        oldest = groups.times_ms[groups.starts][:, None] // slots_ms
        changed = Changed(layout)
        return cls(layout, part["open"], before, after, oldest == after, horizon, changed)

    def close(self, ring_state: Records, rows: Ints) -> Flags:
        """Move open slots that are over into the rings, and clear the slots in between.

        Returns by series whether its rings changed.
        """
        # A series without readings has nothing to close.
        moved = (self.after > self.before) & (self.before >= 0)
        if not moved.any():  # the common case
            return np.zeros(len(moved), np.bool_)
        for number in np.flatnonzero(moved.any(axis=0)).tolist():
            self._close(number, moved[:, number], ring_state, rows)
        changed: Flags = np.logical_or.reduce(moved, axis=1)
        return changed

    def _close(self, number: int, moved: Flags, ring_state: Records, rows: Ints) -> None:
        window = self.layout.windows[number]
        ring, cell = ring_state[window.name], np.arange(window.slots)
        before, after = self.before[moved, number, None], self.after[moved, number, None]
        held = after - 1 - (after - 1 - cell) % window.slots  # slot of each cell from now on
        if self.horizon is not None and self.horizon.is_ahead(window, after):
            self._keep_leaving(number, moved, ring_state, rows)
        part = ring[rows[moved]]
        between = part[held > before]
        clear(between)
        part[held > before] = between
        left = self.open[moved, number]
        series, column = np.nonzero(held == before)
        part[series, column] = closed(left[series])
        ring[rows[moved]] = part
        series, column = np.nonzero(held >= before)
        self.changed.add(number, np.flatnonzero(moved)[series], column)
        clear(left)
        self.open[moved, number] = left

    def _keep_leaving(self, number: int, moved: Flags, ring_state: Records, rows: Ints) -> None:
        """Before the rings move on, keep the slots that leave them and that a window needs."""
        assert self.horizon is not None
        window = self.layout.windows[number]
        before, after = self.before[moved, number, None], self.after[moved, number, None]
        slots = before - window.slots + np.arange(window.slots + 1)  # the last is the open one
        rows = rows[moved]
        in_rings = ring_state[window.name][rows[:, None], slots[:, :-1] % window.slots]
        last = closed(self.open[moved, number])[:, None]
        cells = np.concatenate([in_rings, last], axis=1)
        leaves = (slots < after - window.slots) & (slots >= self.horizon.first(window, after))
        leaves &= cells["count"] > 0
        series, column = np.nonzero(leaves)
        self.horizon.overflow.move(number, rows[series], slots[leaves], cells[series, column])

    def prune(self, rows: Ints, changed: Flags) -> None:
        """Drop slots that no window needs any more, for the series whose rings are written."""
        if self.horizon is None or not self.horizon.overflow:
            return
        first = [
            self.horizon.first(window, self.after[changed, number])
            for number, window in enumerate(self.layout.windows)
        ]
        self.horizon.overflow.prune(rows[changed], np.stack(first, axis=1))

    def fill(
        self, number: int, ring_state: Records, rows: Ints, groups: Groups
    ) -> tuple[Flags, Flags]:
        """Merge readings into the open slot, or into the closed slot they belong to.

        Returns by reading whether its slot is no longer kept, and by series whether its ring
        changed.
        """
        window = self.layout.windows[number]
        slot, starts, counts = _slot_groups(window, groups)
        series = groups.series[starts]
        merged = summary(groups.values, starts, counts)
        after = self.after[series, number]
        is_open = slot == after
        cells = self.open[series[is_open], number]
        merge(cells, merged.at(is_open))
        self.open[series[is_open], number] = cells
        kept = ~is_open & (slot >= after - window.slots)
        at = rows[series[kept]], slot[kept] % window.slots
        cells = opened(ring_state[window.name][at])
        merge(cells, merged.at(kept))
        ring_state[window.name][at] = closed(cells)
        self.changed.add(number, series[kept], at[1])
        changed = np.zeros(len(rows), np.bool_)
        changed[series[kept]] = True
        gone = ~is_open & ~kept
        if self.horizon is not None and gone.any():
            needed = gone & (slot >= self.horizon.first(window, after))
            at_rows, more = rows[series[needed]], merged.at(needed)
            self.horizon.overflow.merge(number, at_rows, slot[needed], more)
            changed[series[needed]] = True
            gone &= ~needed
        return np.repeat(gone, counts), changed

    def late(self, newest_before: Ints, groups: Groups, order: Ints, dropped: Flags) -> Ints:
        """Positions in the batch of readings that no window needed when they arrived.

        Windows are sorted by length: what the longest one has dropped, all of them drop.
        A dropped reading may have been on time, if its slot was left later in the same batch.
        The order of arrival decides, so the count does not depend on how readings are split into
        batches.
        """
        window, found = self.layout.windows[-1], []
        for series in np.unique(groups.series[dropped]).tolist():
            begin = groups.starts[series]
            positions = order[begin : begin + groups.counts[series]]
            by_arrival = np.argsort(positions)
            times_ms = groups.times_ms[begin + by_arrival]
            newest_ms = np.maximum.accumulate(np.append(newest_before[series], times_ms))[:-1]
            if self.horizon is not None:
                newest_ms = np.minimum(newest_ms, self.horizon.now_ms)
            is_late = times_ms // window.slot_ms < newest_ms // window.slot_ms - window.slots
            found.append(positions[by_arrival][is_late])
        return np.sort(np.concatenate(found)) if found else np.empty(0, np.int64)


def _slot_groups(window: Window, groups: Groups) -> tuple[Ints, Ints, Ints]:
    """Slot, start and count of each run of readings of one series in one slot."""
    slot = groups.times_ms // window.slot_ms
    first = np.empty(len(slot), np.bool_)
    np.not_equal(slot[1:], slot[:-1], out=first[1:])
    first[groups.starts] = True
    starts = np.flatnonzero(first)
    return slot[starts], starts, lengths(starts, len(slot))
