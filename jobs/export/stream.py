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
        self._last, self._buried = extent.last, extent.buried
        self._forgotten = _forgotten(self._client, partition)
        with failures():
            self.entries = int(self._client.xlen(self._key))  # for the progress
        self.until_ms = time_ms(self._last.removeprefix("("))
        # What arrived before this time is not there; 0: all of it is.
        self.since_ms = 0 if self.entries else self.until_ms

    def batches(self) -> Iterator[Batch]:
        """The readings, oldest first."""
        after, number, is_last = "0-0", 0, False
        while not is_last:
            entries, is_last = self._stream.read(after, self._last)
            if entries and self._is_behind_a_gap(entries[0], number):
                self.since_ms = time_ms(entries[0][0].decode())
            for batch in _batches(entries):
                yield Batch(self._decoded(batch), len(batch))
            if entries:
                after, number = entries[-1][0].decode(), _number(entries[-1])

    def _is_behind_a_gap(self, entry: Entry, number: int) -> bool:
        """Whether those before it were trimmed: it is the oldest; others were deleted."""
        if _number(entry) <= number + 1:
            return False
        with failures():
            oldest: Any = self._client.xrange(self._key, "-", "+", 1)
        return bool(oldest) and oldest[0][0] == entry[0]

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
        if not self._forgotten:
            return frozenset()
        at = parts_of(id_.decode())
        return {device for device, until in self._forgotten.items() if at < until}


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
