"""Compares the rows of raw files with the readings in the stream, and keeps older ones.

Rows of entries that the stream still has must be its readings. Older ones continue the readings
of the stream into the past, so that the history can be compared with them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np

from tributary.history.raw_rows import BadRawFile, Batch, RawRows, Uncovered, Wanted
from tributary.model import reading
from tributary.operate.audit.aggregates import Finding, Known
from tributary.operate.audit.collection import Name, Series, TooMany
from tributary.operate.audit.entries import Id, parsed
from tributary.operate.audit.recompute import Floats, Ints
from tributary.operate.audit.replay import Replay

_UNKNOWN_MAX = 1_000  # rows of entries that are not in the stream: more are not reported
_BEGINNING = "0-0"
_OLDER, _UNKNOWN = -2, -1  # instead of an ordinal


class _Row(NamedTuple):
    name: Name
    entry: Id
    time_ms: int
    value: float


class RawReadings:
    """The rows of some series of a partition."""

    def __init__(
        self, rows: RawRows, replay: Replay, covers: Callable[[Name], bool], values_max: int
    ) -> None:
        """`covers`: whether a series is to be read; `values_max`: held in memory."""
        self.compared = 0  # rows
        self.surplus = 0  # rows of entries that Redis may have lost when it restarted
        self._rows = rows
        self._replay = replay
        self._entries = replay.entries
        self._covers = covers
        self._values_max = values_max
        self._border: Id = (0, 0)  # older rows are of entries before it
        self._gap_ordinal = 0  # of that entry
        self._until: Id = (0, 0)  # every row up to this entry is there, and
        self._begin_behind((0, 0))  # behind this one

    def read(self, from_ms: int | None, catch_up: Callable[[], None]) -> BadRawFile | None:
        """Read the rows of entries that arrived at or after a time; the file that is wrong, if any.

        Args:
            from_ms: UTC; None: all.
            catch_up: reads the stream up to what is applied now; called once per batch.

        Raises:
            TooMany: they are more than may be held in memory.
            Unavailable: Redis or the database is.
        """
        if self._entries.known_from_ms is not None:  # otherwise, nothing is older
            self._border, self._gap_ordinal = self._entries.border, self._entries.gap_ordinal
        after_id = _BEGINNING if from_ms is None else f"{max(0, from_ms - 1)}-{2**63}"
        self._begin_behind(parsed(after_id))
        try:
            for part in self._rows.read(after_id, Wanted()):
                if isinstance(part, Uncovered):
                    ms, number = parsed(part.first_id)
                    self._begin_behind((ms, number - 1))
                else:
                    catch_up()
                    self._add(part)
        except BadRawFile as error:
            self._begin_behind(self._entries.last)
            return error
        catch_up()
        self._until = parsed(self._rows.until_id)
        return None

    def differences(self) -> Iterator[tuple[Name, Finding]]:
        """Compare rows and readings of the entries that both have."""
        last = self._entries.ordinal(self._until)
        first = max(self._entries.gap_ordinal, self._entries.ordinal(self._behind) + 1)
        is_whole = self._entries.known_from_ms is None
        for name, entry, time_ms, value in self._unknown:
            if entry < self._replay.restarted_at() or entry > self._entries.last:
                self.surplus += 1
                older = self._older.setdefault(name[0], {}).setdefault(name[1], Series())
                older.extend(np.array([time_ms]), np.array([value]), np.array([_OLDER]))
            elif is_whole or entry >= self._entries.border:
                yield name, _finding(entry, time_ms, None, value)
        devices = self._replay.collection.devices
        names = ((device, metric) for device in devices for metric in devices[device])
        for name in dict.fromkeys(chain(names, self._recent)):
            begin = max(first, self._replay.forgotten_at(name[0]) + 1)
            for finding in self._compare(name, begin, last):
                yield name, finding
        self._recent.clear()

    @property
    def is_joined(self) -> bool:
        """Whether the rows continue the readings of the stream into the past."""
        ms, number = self._border
        reaches = self._behind < self._border and self._until >= (ms, number - 1)
        is_whole = len(self._unknown) < _UNKNOWN_MAX
        return reaches and is_whole and self._entries.gap_ordinal == self._gap_ordinal

    def since_ms(self, margin_ms: int) -> int | None:
        """If they are joined: event time from which on all readings are known; None: all are."""
        return None if self._behind == (0, 0) else self._behind[0] + margin_ms

    def includes_lost(self, entry_id: str) -> bool:
        """Whether the rows include what the history has up to an entry, even if Redis lost it."""
        return self._until >= min(parsed(entry_id), self._replay.restarted_at())

    def devices(self) -> Iterator[str]:
        """Those with rows older than the stream."""
        yield from self._older

    def metrics(self, device: str) -> Iterator[str]:
        """Those of a device with rows older than the stream."""
        yield from self._older.get(device, {})

    def joined(self, name: Name, known: Known, margin_ms: int) -> Known:
        """The readings of a series in the stream, and those before."""
        if self._replay.forgotten_at(name[0]) >= self._gap_ordinal:
            return known  # the older ones were forgotten
        older = self._older.get(name[0], {}).get(name[1], Series())
        is_behind = known.ordinals >= self._gap_ordinal  # the others are among the older ones
        times = np.concatenate([np.array(older.times_ms, np.int64), known.times_ms[is_behind]])
        values = np.concatenate([np.array(older.values), known.values[is_behind]])
        order = np.argsort(times, kind="stable")
        since_ms = self.since_ms(margin_ms)
        return known._replace(times_ms=times[order], values=values[order], since_ms=since_ms)

    def _begin_behind(self, entry: Id) -> None:
        """Drop what was read: before the rows behind an entry, some are missing."""
        self._behind = entry
        self._older: dict[str, dict[str, Series]] = {}
        self._recent: dict[Name, Series] = {}
        self._unknown: list[_Row] = []
        self._values = 0

    def _add(self, batch: Batch) -> None:
        ids = [parsed(id_) for id_ in batch.ids]
        ordinals = np.array([self._ordinal(id_) for id_ in ids], np.int64)[batch.entries]
        order = np.argsort(batch.positions, kind="stable")
        edges = np.searchsorted(batch.positions[order], np.arange(len(batch.series) + 1))
        for number, name in enumerate(batch.series):
            if not self._covers(name):
                continue
            rows = order[edges[number] : edges[number + 1]]
            found = ordinals[rows]
            older, recent = rows[found == _OLDER], rows[found >= 0]
            if len(older):
                metrics = self._older.setdefault(name[0], {})
                _extend(metrics.setdefault(name[1], Series()), batch, ordinals, older)
            if len(recent):
                _extend(self._recent.setdefault(name, Series()), batch, ordinals, recent)
            self._values += len(rows)
            for row in rows[found == _UNKNOWN][: _UNKNOWN_MAX - len(self._unknown)].tolist():
                entry = ids[batch.entries[row]]
                time_ms, value = int(batch.times_ms[row]), float(batch.values[row])
                self._unknown.append(_Row(name, entry, time_ms, value))
        if self._values > self._values_max:
            raise TooMany

    def _ordinal(self, entry: Id) -> int:
        if entry < self._border:
            return _OLDER
        found = self._entries.ordinal(entry)
        return found if found >= 0 and self._entries.id_of(found) == entry else _UNKNOWN

    def _compare(self, name: Name, first: int, last: int) -> Iterator[Finding]:
        expected = _columns(self._replay.collection.get(name), first, last)
        found = _columns(self._recent.get(name, Series()), first, last)
        self.compared += len(found[0])
        if all(map(np.array_equal, expected, found)):
            return
        one, other = (
            Counter(zip(*map(np.ndarray.tolist, c), strict=True)) for c in (expected, found)
        )
        extra: dict[tuple[int, int], list[float]] = defaultdict(list)
        for ordinal, time_ms, value in sorted((other - one).elements()):
            extra[ordinal, time_ms].append(value)
        for ordinal, time_ms, value in sorted((one - other).elements()):
            held = extra[ordinal, time_ms]
            instead = held.pop(0) if held else None
            yield _finding(self._entries.id_of(ordinal), time_ms, value, instead)
        for (ordinal, time_ms), values in extra.items():
            for value in values:
                yield _finding(self._entries.id_of(ordinal), time_ms, None, value)


def _extend(series: Series, batch: Batch, ordinals: Ints, rows: Ints) -> None:
    series.extend(batch.times_ms[rows], batch.values[rows], ordinals[rows])


def _columns(series: Series, first: int, last: int) -> tuple[Ints, Ints, Floats]:
    """Ordinals, times and values of some entries, in order."""
    ordinals, times = np.array(series.ordinals, np.int64), np.array(series.times_ms, np.int64)
    values = np.array(series.values, np.float64)
    is_in = (ordinals >= first) & (ordinals <= last)
    ordinals, times, values = ordinals[is_in], times[is_in], values[is_in]
    order = np.lexsort((values, times, ordinals))
    return ordinals[order], times[order], values[order]


def _finding(entry: Id, time_ms: int, expected: float | None, found: float | None) -> Finding:
    slot = f"{entry[0]}-{entry[1]} {reading.rfc3339(time_ms)}"
    return Finding("raw", slot, expected, found)
