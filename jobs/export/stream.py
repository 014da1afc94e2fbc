"""The readings in the stream of a partition, piece by piece.

What the aggregators have applied, no more and no less: up to `hwm`, without an entry that is
begun, without what was buried, and without devices that were forgotten afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import redis

from aggregator import decode
from aggregator.decode import Columns, Entry
from jobs.partition_stream import PartitionStream
from jobs.piece import time_ms
from tributary.errors import BadFrame
from tributary.store import keys, tombstone, topology
from tributary.store.redis_client import failures
from tributary.store.tombstone import Record, parts_of

_BATCH_BYTES = 524_288  # of frames that are decoded at once
_FIELDS = [b"e", b"n", b"r"]


class Part(NamedTuple):
    """Readings of some entries, in order of arrival."""

    columns: Columns
    readings: int | None = None  # only the first ones count; None: all
    forgotten: Collection[str] = frozenset()  # devices that do not count


class Batch(NamedTuple):
    """Consecutive entries."""

    parts: list[Part]
    entries: int


class Stream:
    """The stream of one partition as it is now; later entries are not read.

    Every method raises `Unavailable` while Redis is.
    """

    def __init__(self, client: redis.Redis, partition: int) -> None:
        """`client`: for this export alone, as in `PartitionStream`."""
        self._client = topology.server_of(client, keys.meta(partition))
        self._key = keys.readings(partition)
        self._stream = PartitionStream(client, partition)
        extent = self._stream.extent()
        self._last, self._buried, self._done = extent.last, extent.buried, extent.done
        self.forgotten = _forgotten(self._client, partition)
        with failures():
            self.entries = int(self._client.xlen(self._key))  # for the progress
        self.until_ms = time_ms(self._last.removeprefix("("))
        self.since_ms = 0  # what arrived before this time is not there; 0: all of it is
        self.after = "0-0"  # the last entry that was read
        self._number: int | None = 0  # of that entry; None: unknown

    def go_on_behind(self, entry_id: str, number: int | None) -> None:
        """Go on behind an entry; its number, if it is known, shows whether the next is missing."""
        self.after, self._number = entry_id, number

    def batches(self, before: str = "", *, stop_at_gap: bool = False) -> Iterator[Batch]:
        """The readings behind `after`, oldest first.

        Args:
            before: the entry to end before; empty: the end is that of the stream.
            stop_at_gap: return at an entry before which others were trimmed. `is_at_gap` is then
                true; otherwise, `since_ms` has what is missing.
        """
        self.is_at_gap, is_last = False, False
        last = f"({before}" if before and parts_of(before) <= self._end else self._last
        while not is_last:
            entries, is_last = self._stream.read(self.after, last)
            if self._is_behind_a_gap(entries, is_end=is_last and not before):
                if stop_at_gap:
                    self.is_at_gap = True
                    return
                self.since_ms = time_ms(entries[0][0].decode()) if entries else self.until_ms
            for batch in _batches(entries):
                yield Batch(self._decoded(batch), len(batch))
            if entries:
                self.go_on_behind(entries[-1][0].decode(), _number(entries[-1]))

    @property
    def _end(self) -> tuple[int, int]:
        return parts_of(self._last.removeprefix("("))

    def _is_behind_a_gap(self, entries: list[Entry], *, is_end: bool) -> bool:
        """Whether entries behind `after` were trimmed: those that remain are the oldest.

        Entries in the middle were deleted. `is_end`: nothing else follows the entries.
        """
        if entries:
            if self._is_next(_number(entries[0])):
                return False
        elif not is_end or parts_of(self.after) >= self._end:
            return False
        with failures():
            found: Any = self._client.xrange(self._key, "-", "+", 1)
        if entries:
            return bool(found) and found[0][0] == entries[0][0]
        if not found:
            return self._done is None or not self._is_next(self._done.entries + 1)
        id_, fields = found[0]
        is_later = parts_of(id_.decode()) > parts_of(self.after)
        return is_later and not self._is_next(int(fields.get(b"e", 0)))

    def _is_next(self, number: int) -> bool:
        """Whether no entry is between `after` and that of a number."""
        return self._number is not None and number <= self._number + 1

    def _decoded(self, batch: list[Entry]) -> list[Part]:
        is_plain = not self._forgotten_since(batch[0][0])
        if is_plain and all(entry[0] not in self._buried and _number(entry) for entry in batch):
            with contextlib.suppress(BadFrame):  # buried by a version that did not record it
                return [Part(decode.decode(batch))]
        return list(self._one_by_one(batch))

    def _one_by_one(self, batch: list[Entry]) -> Iterator[Part]:
        """The entries that append has written, without what is buried."""
        for entry in batch:
            applied = self._buried.get(entry[0])
            if applied == 0 or not _number(entry):
                continue
            with contextlib.suppress(BadFrame):
                columns = decode.decode([entry])
                yield Part(columns, applied, self._forgotten_since(entry[0]))

    def _forgotten_since(self, id_: bytes) -> Collection[str]:
        """The devices that were forgotten after this entry."""
        if not self.forgotten:
            return frozenset()
        at = parts_of(id_.decode())
        return {device for device, until in self.forgotten.items() if at < until}


def _batches(entries: list[Entry]) -> Iterator[list[Entry]]:
    """The entries in lists of about `_BATCH_BYTES`."""
    batch: list[Entry] = []
    size_bytes = 0
    for entry in entries:
        batch.append(entry)
        size_bytes += len(entry[1][-1])
        if size_bytes >= _BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def _forgotten(client: redis.Redis, partition: int) -> dict[str, tuple[int, int]]:
    """Device → the entry at which it was forgotten, while the stream may still have it."""
    with failures():
        stored: Any = client.hgetall(keys.forgets(partition))
    found: dict[str, tuple[int, int]] = {}
    for id_, value in stored.items():
        record = Record.parse(partition, id_, value)
        if record.stage != tombstone.ASKED:
            for device in record.tombstone.devices:
                found[device] = max(parts_of(record.entry_id), found.get(device, (0, 0)))
    return found


def _number(entry: Entry) -> int:
    """The number of an entry; 0 if append has not written it."""
    fields = entry[1]
    return int(fields[1]) if fields[0::2] == _FIELDS and fields[1].isdigit() else 0
