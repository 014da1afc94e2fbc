"""What is stored beside the rows of the series in memory: counters, or quantiles.

It is written with the base of the row, so it can lack the readings that the base lacks; these are
added when it is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tributary.model.counter import Clock
from tributary.model.groups import Ints, Readings


class Kept(Protocol):
    """What is kept of one series."""

    is_due: bool  # whether it must be stored now, with the base of the row

    def add(self, time_ms: int, value: float, clock: Clock) -> None:
        """Add a reading, the next one to arrive."""

    def packed(self) -> bytes:
        """As it is stored."""


Restore = Callable[[Clock], Kept]


class Beside:
    """One kind of it, by row of the table; rows without it cost nothing."""

    def __init__(self, rows: int, *, is_used: bool) -> None:
        """`rows`: of the table; `is_used`: whether any metric has it."""
        self._is_kept = np.zeros(rows if is_used else 0, np.bool_)
        self._loaded: dict[int, Restore] = {}  # without readings since
        self._kept: dict[int, Kept] = {}
        self._due: set[int] = set()

    def grow(self, more: int) -> None:
        """Add rows."""
        if len(self._is_kept):
            self._is_kept = np.append(self._is_kept, np.zeros(more, np.bool_))

    def load(self, row: int, restore: Restore) -> None:
        """Add what is kept of a row; it is restored with the first reading."""
        self._loaded[row], self._is_kept[row] = restore, True

    def drop(self, row: int) -> None:
        """Drop what is kept of a row, if anything."""
        if len(self._is_kept) and self._is_kept[row]:
            self._is_kept[row] = False
            self._loaded.pop(row, None)
            self._kept.pop(row, None)
            self._due.discard(row)

    def fold(self, readings: Readings, clock: Clock) -> None:
        """Add readings, in order of arrival."""
        if not (self._loaded or self._kept):
            return
        at = np.flatnonzero(self._is_kept[readings.rows])
        for row, time_ms, value in zip(*(each[at].tolist() for each in readings), strict=True):
            kept = self._kept.get(row)
            if kept is None:
                kept = self._kept[row] = self._loaded.pop(row)(clock)
            kept.add(time_ms, value, clock)
            if kept.is_due:
                self._due.add(row)

    def due(self, rows: Ints) -> NDArray[np.bool_]:
        """Of which of the rows it must be stored now."""
        if not self._due:
            return np.zeros(len(rows), np.bool_)
        return np.isin(rows, list(self._due))

    def packed(self, rows: Ints) -> Iterator[tuple[int, bytes]]:
        """What is to be stored with the bases of rows, of those that have had readings."""
        if not self._kept:
            return
        for row in rows[self._is_kept[rows]].tolist():
            if (kept := self._kept.get(row)) is not None:
                kept.is_due = False
                self._due.discard(row)
                yield row, kept.packed()
