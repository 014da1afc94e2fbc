"""Slots that a window still needs and for which the ring of the series has no cell.

A ring covers the slots before the newest reading. A reading ahead of the clock moves the ring
on, and it loses slots that a window at the present time includes. They are kept here, only for
series with such readings, until no window includes them any more.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tributary.model import aggregate
from tributary.model.aggregate import CLOSED_CELL, OVERFLOW_CELL, Records, Summary
from tributary.model.groups import Ints
from tributary.model.window import Window


class Overflow:
    """Additional cells by row of the table; each (row, window, slot) occurs once."""

    def __init__(self) -> None:
        self._cells: dict[int, Records] = {}
        self._changed: set[int] = set()  # rows whose cells are to be written

    def __len__(self) -> int:
        """How many rows have cells."""
        return len(self._cells)

    def load(self, row: int, packed: bytes, *, is_changed: bool = False) -> None:
        """Add the stored cells of a row; `is_changed`: they are to be written elsewhere."""
        if packed:
            self._cells[row] = np.frombuffer(packed, OVERFLOW_CELL)
            if is_changed:
                self._changed.add(row)

    def take_changed(self, rows: Ints) -> list[int]:
        """Those of the rows whose cells have changed since they were last returned here."""
        if not self._changed:
            return []
        taken = sorted(self._changed.intersection(rows.tolist()))
        self._changed.difference_update(taken)
        return taken

    def packed(self, row: int) -> bytes:
        """The cells of a row as they are stored: `OVERFLOW_CELL` records; empty if it has none."""
        cells = self._cells.get(row)
        return b"" if cells is None else cells.tobytes()

    def drop(self, row: int) -> None:
        """Drop the cells of a row."""
        self._cells.pop(row, None)
        self._changed.discard(row)

    def move(self, number: int, rows: Ints, slots: Ints, cells: Records) -> None:
        """Add closed slots of a window that leave the rings, one cell per element of `rows`."""
        if len(rows) == 0:
            return
        moved = np.zeros(len(rows), OVERFLOW_CELL)
        moved["window"], moved["slot"], moved["cell"] = number, slots, cells
        order = np.argsort(rows, kind="stable")
        distinct, starts = np.unique(rows[order], return_index=True)
        for row, more in zip(distinct.tolist(), np.split(moved[order], starts[1:]), strict=True):
            held = self._cells.get(row)
            self._cells[row] = more if held is None else np.concatenate([held, more])
            self._changed.add(row)

    def merge(self, number: int, rows: Ints, slots: Ints, more: Summary) -> None:
        """Merge summaries into slots of a window; missing slots are added."""
        cells = np.zeros(len(rows), CLOSED_CELL)
        aggregate.clear(cells)
        for position, (row, slot) in enumerate(zip(rows.tolist(), slots.tolist(), strict=True)):
            held = self._cells.get(row)
            if held is None:
                continue
            is_it = (held["window"] == number) & (held["slot"] == slot)
            if is_it.any():
                cells[position] = held["cell"][is_it][0]
                self._cells[row] = held[~is_it]
        open_cells = aggregate.opened(cells)
        aggregate.merge(open_cells, more)
        self.move(number, rows, slots, aggregate.closed(open_cells))

    def prune(self, rows: Ints, first: Ints) -> None:
        """Drop slots older than `first`, which has one row per row and one column per window."""
        if not self._cells:
            return
        for row, oldest in zip(rows.tolist(), first, strict=True):
            held = self._cells.get(row)
            if held is None:
                continue
            kept = held[held["slot"] >= oldest[held["window"]]]
            if len(kept) < len(held):
                self._changed.add(row)
            if len(kept):
                self._cells[row] = kept
            else:
                del self._cells[row]


class Horizon(NamedTuple):
    """Which slots windows still need at `now_ms`, and the slots that are in no ring."""

    overflow: Overflow
    now_ms: int
    future_max_ms: int  # limits the cells of a series, whatever the clock shows
    is_short: NDArray[np.bool_] | None = None  # by row: it has no windows, so nothing is late

    def is_ahead(self, window: Window, after: Ints) -> bool:
        """Whether the newest reading of a series is in a slot that has not begun yet."""
        return bool((after > self.now_ms // window.slot_ms).any())

    def first(self, window: Window, after: Ints) -> Ints:
        """By series the oldest slot to keep, given the slot of its newest reading.

        At most ceil(future_max_ms / slot_ms) slots before those of the ring.
        """
        ahead_max = -(-self.future_max_ms // window.slot_ms)
        oldest: Ints = np.maximum(self.now_ms // window.slot_ms, after - ahead_max)
        return np.minimum(oldest, after) - window.slots
