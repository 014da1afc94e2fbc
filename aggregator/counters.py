"""The counters among the series in memory; `tributary/model/counter.py` defines what they add up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tributary.model.aggregate import Records
from tributary.model.counter import Clock, Counter, Known, RollOver
from tributary.model.declared import Declared
from tributary.model.groups import Ints, Readings
from tributary.model.rows import StoredSeries


class _Loaded(NamedTuple):
    """A counter that has had no readings since it was loaded."""

    roll_over: RollOver
    packed: bytes | None
    known: Known


class Counters:
    """Counters by row of the table; other rows cost nothing."""

    def __init__(self, declared: Declared, rows: int) -> None:
        """`rows`: of the table."""
        self._declared = declared
        self._is_counter = np.zeros(rows if declared.counters else 0, np.bool_)
        self._loaded: dict[int, _Loaded] = {}
        self._held: dict[int, Counter] = {}
        self._begun: set[int] = set()  # rows of counters that are not stored yet

    def grow(self, more: int) -> None:
        """Add rows."""
        if self._declared.counters:
            self._is_counter = np.append(self._is_counter, np.zeros(more, np.bool_))

    def load(
        self,
        rows: list[int],
        series: list[tuple[str, str]],
        stored: StoredSeries,
        state: Records,
        pending: Ints,
    ) -> None:
        """Add those of the loaded series that are counters; `state` and `pending` as unpacked."""
        for n in self._declared.of_counters(series):
            roll_over, known = (
                self._declared.counters[series[n][1]],
                Known.of(state[n], int(pending[n])),
            )
            self._loaded[rows[n]] = _Loaded(roll_over, stored.each[n].counter, known)
            self._is_counter[rows[n]] = True

    def drop(self, row: int) -> None:
        """Drop the counter of a row, if it has one."""
        if len(self._is_counter) and self._is_counter[row]:
            self._is_counter[row] = False
            self._loaded.pop(row, None)
            self._held.pop(row, None)
            self._begun.discard(row)

    def fold(self, readings: Readings, clock: Clock) -> None:
        """Add readings, in order of arrival."""
        if not (self._loaded or self._held):
            return
        at = np.flatnonzero(self._is_counter[readings.rows])
        columns = (column[at].tolist() for column in readings)
        for row, time_ms, value in zip(*columns, strict=True):
            (self._held.get(row) or self._restored(row, clock)).add(time_ms, value, clock)

    def _restored(self, row: int, clock: Clock) -> Counter:
        roll_over, packed, known = self._loaded.pop(row)
        found = Counter.restore(self._declared.counter_form, roll_over, packed, known, clock)
        self._held[row] = found
        if not found.is_stored:
            self._begun.add(row)
        return found

    def begun(self, rows: Ints) -> NDArray[np.bool_]:
        """Which of the rows have counters that are not stored yet, and must be with their base."""
        if not self._begun:
            return np.zeros(len(rows), np.bool_)
        return np.isin(rows, list(self._begun))

    def packed(self, rows: Ints) -> Iterator[tuple[int, bytes]]:
        """What is to be stored with the bases of rows, of those that have had readings."""
        if self._held:
            for row in rows.tolist():
                if (found := self._held.get(row)) is not None:
                    self._begun.discard(row)
                    yield row, found.packed()
