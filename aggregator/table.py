"""The aggregates that a worker has in memory: one row per series, up to a limit.

A row belongs to a partition, and a partition is dropped as a whole: as soon as the worker may
no longer be its owner, everything in memory about it is void.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aggregator.alerts.rules import Rules
from aggregator.alerts.states import States
from aggregator.beside import Beside
from aggregator.decode import Columns, once
from aggregator.documents import Documents
from aggregator.overflow import Overflow
from aggregator.scan import name, scan
from tributary.model.address import NO_RING, NOWHERE
from tributary.model.aggregate import CLOSED_CELL, OVERFLOW_CELL, Records, put
from tributary.model.counter import Known
from tributary.model.groups import Ints
from tributary.model.quantiles import Rows
from tributary.model.rows import Shape, StoredSeries, Unpacked

Series = tuple[str, str]  # device, metric
_UNUSED: Series = ("", "")
_NO_ROWS: Ints = np.empty(0, np.int64)
_EVICTED_MAX_ROWS = 8_192  # at once, 20 ms
_COLUMNS = (
    "state", "rings", "state_rows", "ring_rows", "pending", "is_format_2", "is_short",
    "_partition", "_used",
)  # fmt: skip
_GROWTH_MAX_ROWS = 8_192  # at once, 20 MB: only for a turn that needs more than the limit


class Unseen(NamedTuple):
    """What must be loaded before a batch can be folded."""

    series: list[Series]
    devices: list[str]


class Table:
    """Rows of series by partition, with the state of each, and the documents of their devices."""

    def __init__(
        self,
        shape: Shape,
        rows_max: int,
        rules: Rules | None = None,
        latest: Collection[str] = (),
    ) -> None:
        """`rules`: for alerts; None: there are none. `latest`: the metrics without windows."""
        self.shape = shape
        self._latest = latest
        self._rows_max = rows_max
        self.state = np.zeros(rows_max, shape.layout.state)
        self.rings = np.zeros(rows_max, shape.layout.rings)
        self.state_rows = np.full(rows_max, -1)  # of its place; -1: none
        self.ring_rows = np.full(rows_max, -1)
        self.pending = np.zeros(rows_max, np.int64)  # readings that its stored base lacks
        self.is_format_2 = np.zeros(rows_max, np.bool_)  # stored as such, to be moved
        self.is_short = np.zeros(rows_max, np.bool_)  # its row is to be a short one; rings are void
        self.overflow = Overflow()
        self.counters = Beside(rows_max, is_used=bool(shape.declared.counters))
        self.quantiles = Beside(rows_max, is_used=bool(shape.declared.with_quantiles))
        self.series: list[Series] = [_UNUSED] * rows_max
        self.documents = Documents(rows_max)
        self.alerts = States(rules or Rules(), rows_max)
        self._rows: dict[int, dict[Series, int]] = {}
        self._named: dict[int, dict[bytes, int]] = {}  # the same, by name in frames
        self._partition = np.full(rows_max, -1, np.int32)
        self._used = np.zeros(rows_max, np.int64)
        self._free = list(range(rows_max - 1, -1, -1))
        self._batch = 0
        self._removed: dict[int, set[Series]] = {}  # since then, by partition

    @property
    def is_outgrown(self) -> bool:
        """Whether one batch needed more rows than the limit."""
        return len(self.series) > self._rows_max

    def rows(self, partition: int) -> dict[Series, int]:
        """Series → row of one partition."""
        return self._rows.setdefault(partition, {})

    def begin_batch(self) -> None:
        """Rows found from now on are not evicted until the next batch begins."""
        self._batch += 1

    def find(self, partition: int, series: list[Series]) -> tuple[Ints, Unseen]:
        """The rows of series, which may repeat; or those without a row, and their devices.

        The rows are kept until the next batch begins: loading new series does not evict them.
        """
        known = self.rows(partition)
        try:
            rows = np.fromiter(map(known.__getitem__, series), np.int64, len(series))
        except KeyError:
            distinct = dict.fromkeys(series)
            found = [known[each] for each in distinct if each in known]
            self._used[found] = self._batch
            missing = [each for each in distinct if each not in known]
            return _NO_ROWS, Unseen(missing, list(dict.fromkeys(device for device, _ in missing)))
        self._used[rows] = self._batch
        return rows, Unseen([], [])

    def scan(self, partition: int, frames: list[bytes], *, is_sealed: bool) -> Columns | None:
        """The readings of frames, with their rows; None if they must be decoded to find those."""
        named, found = self._named.get(partition), scan(frames, is_sealed=is_sealed)
        if found is None or named is None:
            return None
        try:
            rows = np.fromiter(map(named.__getitem__, found.names), np.int64, len(found.names))
        except KeyError:
            return None
        self._used[rows] = self._batch
        return once(found.times_ms, found.values, rows)

    def load(
        self,
        partition: int,
        unseen: Unseen,
        stored: StoredSeries,
        documents: list[bytes | None],
        states: Sequence[bytes | None] = (),
    ) -> list[str]:
        """Give rows to unseen series, with their stored values; returns the new devices.

        `states`: of their alerts; empty: none of them has a rule.

        Raises:
            ValueError: a value has another length.
        """
        if not unseen.series:
            return []
        unpacked = self.shape.unpack(stored)
        rows = [self._allocate(partition, series) for series in unseen.series]
        self.rows(partition).update(zip(unseen.series, rows, strict=True))
        names = [name(device, metric) for device, metric in unseen.series]
        self._named.setdefault(partition, {}).update(zip(names, rows, strict=True))
        put(self.state, np.array(rows), unpacked.state)
        put(self.rings, np.array(rows), unpacked.rings)
        self.pending[rows] = unpacked.pending
        addresses = [NOWHERE if one.address is None else one.address for one in stored.each]
        self.state_rows[rows], self.ring_rows[rows] = np.array(addresses).T
        is_format_2 = [one.address is None and one.state is not None for one in stored.each]
        self.is_format_2[rows] = is_format_2
        self.is_short[rows] = [metric in self._latest for _, metric in unseen.series]
        for row, one, is_old in zip(rows, stored.each, is_format_2, strict=True):
            self.overflow.load(row, self.shape.beyond(one), is_changed=is_old)
        self._load_beside(rows, unseen.series, stored, unpacked)
        for row, series, packed in zip(rows, unseen.series, states, strict=bool(states)):
            self.alerts.load(partition, row, series, packed)
        # After the rows, since allocating them may have evicted the last row of a device.
        texts = dict(zip(unseen.devices, documents, strict=True))
        return self.documents.load(texts, unseen.series, rows, self.state)

    def _load_beside(
        self, rows: list[int], series: list[Series], stored: StoredSeries, unpacked: Unpacked
    ) -> None:
        declared = self.shape.declared
        for n in declared.of_counters(series):
            known = Known.of(unpacked.state[n], int(unpacked.pending[n]))
            restore = partial(declared.counter, series[n][1], stored.each[n].counter, known)
            self.counters.load(rows[n], restore)
        for n in declared.of_quantiles(series):
            overflow = np.frombuffer(self.shape.beyond(stored.each[n]), OVERFLOW_CELL)
            row = Rows(unpacked.state[n], unpacked.rings[n], overflow, int(unpacked.pending[n]))
            self.quantiles.load(rows[n], partial(declared.quantiles, stored.each[n].quantiles, row))

    def drop(self, partition: int) -> None:
        """Drop all rows of a partition."""
        self._named.pop(partition, None)
        self.alerts.drop(partition)
        for series, row in self._rows.pop(partition, {}).items():
            self._release(series, row)

    def forget(self, partition: int, devices: Iterable[str]) -> None:
        """Drop the rows of devices; those that Redis still has are loaded again when needed."""
        known, gone = self.rows(partition), set(devices)
        for series in [series for series in known if series[0] in gone]:
            self._remove(partition, series)

    def note_removed(self, partition: int) -> set[Series]:
        """The series of a partition that are removed from now on, until `end_note`."""
        return self._removed.setdefault(partition, set())

    def end_note(self, partition: int) -> None:
        """Note no more of them."""
        self._removed.pop(partition, None)

    def free_ring(self, row: int) -> None:
        """Empty the rings of a row, which has no row of rings any more."""
        self.ring_rows[row] = NO_RING
        self.rings[row] = self.shape.layout.no_rings
        self.overflow.drop(row)

    @property
    def ring_cells(self) -> Records:
        """The cells of the rings: one row per row, one column per `Layout.rings` cell."""
        if not self.shape.ring_cells:
            return np.zeros((len(self.rings), 0), CLOSED_CELL)
        return self.rings.view(CLOSED_CELL).reshape(len(self.rings), -1)

    def partitions(self, rows: Ints) -> NDArray[np.int32]:
        """The partition of each row."""
        return self._partition[rows]

    def _allocate(self, partition: int, series: Series) -> int:
        if not self._free:
            self._evict()
        row = self._free.pop()
        self.series[row] = series
        self._partition[row] = partition
        self._used[row] = self._batch
        return row

    def _evict(self) -> None:
        """Free up to an eighth of the rows, the least recently used; grow if all are in use."""
        idle = np.flatnonzero(self._used < self._batch)
        if len(idle) == 0:
            self._grow()
            return
        count = min(len(idle), max(1, len(self.series) // 8), _EVICTED_MAX_ROWS)
        oldest = idle[np.argpartition(self._used[idle], count - 1)[:count]]
        for row in oldest.tolist():
            series = self.series[row]
            if series is not _UNUSED:
                self._remove(int(self._partition[row]), series)

    def _grow(self) -> None:
        more = min(len(self.series), _GROWTH_MAX_ROWS)
        for column in _COLUMNS:
            setattr(self, column, _longer(getattr(self, column), more))
        self.series += [_UNUSED] * more
        self.documents.grow(more)
        self.counters.grow(more)
        self.quantiles.grow(more)
        self.alerts.grow(more)
        self._free = list(range(len(self.series) - 1, len(self.series) - more - 1, -1))

    def _remove(self, partition: int, series: Series) -> None:
        if partition in self._removed:
            self._removed[partition].add(series)
        del self._named[partition][name(*series)]
        self._release(series, self._rows[partition].pop(series))

    def _release(self, series: Series, row: int) -> None:
        self.series[row] = _UNUSED
        self.documents.release(row, series[0])
        self.overflow.drop(row)
        self.counters.drop(row)
        self.quantiles.drop(row)
        self.alerts.release(row)
        self._partition[row] = -1
        self._free.append(row)


def _longer(column: NDArray[Any], more: int) -> NDArray[Any]:
    """A column with more rows, which are loaded before they are used."""
    return np.concatenate([column, np.zeros(more, column.dtype)])
