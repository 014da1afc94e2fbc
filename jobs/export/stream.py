"""The readings in the stream of a partition, page by page.

What the aggregators have applied, no more and no less: up to `hwm`, without an entry that is
begun, without what was buried, and without devices that were forgotten afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import redis

from aggregator import decode
from aggregator.account import Progress
from aggregator.decode import Columns, Entry
from tributary.errors import BadFrame
from tributary.model import frame
from tributary.operate import dead_letters
from tributary.store import keys, tombstone
from tributary.store.redis_client import failures
from tributary.store.tombstone import Record, parts_of

_PAGE_BYTES = 1_048_576  # aimed at
_PAGE_ENTRIES_MAX = 1_000
_DEAD_PAGE_ENTRIES = 16
_FIELDS = [b"e", b"n", b"r"]


class Part(NamedTuple):
    """Readings of some entries, in order of arrival."""

    columns: Columns
    readings: int | None = None  # only the first ones count; None: all
    forgotten: Collection[str] = frozenset()  # devices that do not count


class Page(NamedTuple):
    """One read of the stream."""

    parts: list[Part]
    entries: int


class Stream:
    """The stream of one partition as it is now; later entries are not read.

    Every method raises `Unavailable` while Redis is.
    """

    def __init__(self, client: redis.Redis, partition: int, after: str = "0-0") -> None:
        """`after`: the id of an entry; those up to it are not read."""
        self._client = client
        self._key = keys.readings(partition)
        with failures():
            meta: Any = client.hmget(keys.meta(partition), "hwm", "progress", "done_entries")
        hwm, begun, done = meta
        progress = Progress.parse(begun)
        self._last = (hwm or b"0-0").decode() if progress is None else f"({progress.id.decode()}"
        self._dead = _dead(client, partition)
        self._forgotten = _forgotten(client, partition)
        self._next = f"({after}"
        first = self._read(self._next, self._last, 1)
        self._number = 0 if after == "0-0" else _number(first[0]) - 1 if first else 0
        self.entries = max(1, int(done or 0) - _number(first[0]) + 1) if first else 0
        self.until_ms = _time_ms(self._last.removeprefix("(").encode())
        # What arrived before this time is not there; 0: all of it is.
        self.since_ms = 0 if first or after != "0-0" else self.until_ms

    def pages(self) -> Iterator[Page]:
        """The readings after the position, oldest first."""
        count = 8
        while page := self._read(self._next, self._last, count):
            if self._is_behind_a_gap(page[0]):
                self.since_ms = _time_ms(page[0][0])
            self._number = _number(page[-1])
            self._next = f"({page[-1][0].decode()}"
            size_bytes = max(1, sum(len(fields[-1]) for _, fields in page))
            yield Page(self._decoded(page), len(page))
            count = max(1, min(_PAGE_ENTRIES_MAX, 2 * count, _PAGE_BYTES * len(page) // size_bytes))

    def _is_behind_a_gap(self, entry: Entry) -> bool:
        """Whether those before it were trimmed: it is the oldest; others were deleted."""
        if _number(entry) <= self._number + 1:
            return False
        first = self._read("-", "+", 1)
        return bool(first) and first[0][0] == entry[0]

    def _decoded(self, page: list[Entry]) -> list[Part]:
        is_plain = not self._forgotten_since(page[0][0])
        if is_plain and all(entry[0] not in self._dead and _number(entry) for entry in page):
            try:
                return [Part(decode.decode(page))]
            except BadFrame:
                return self._one_by_one(page)
        return self._one_by_one(page)

    def _one_by_one(self, page: list[Entry]) -> list[Part]:
        """The entries that append has written and that can be decoded, without what is dead."""
        parts = []
        for entry in page:
            dead = self._dead.get(entry[0], 0)
            if dead is None or not _number(entry):
                continue
            try:
                columns = decode.decode([entry])
            except BadFrame:
                continue
            forgotten = self._forgotten_since(entry[0])
            parts.append(Part(columns, columns.readings - dead, forgotten))
        return parts

    def _forgotten_since(self, id_: bytes) -> Collection[str]:
        """The devices that were forgotten after this entry."""
        if not self._forgotten:
            return frozenset()
        at = parts_of(id_.decode())
        return {device for device, until in self._forgotten.items() if at < until}

    def _read(self, first: str, last: str, count: int) -> list[Entry]:
        with failures():
            found: Any = self._client.xrange(self._key, first, last, count)
        return [(id_, [part for pair in fields.items() for part in pair]) for id_, fields in found]


def _dead(client: redis.Redis, partition: int) -> dict[bytes, int | None]:
    """Id of an entry → how many of its last readings are dead; None: they cannot be decoded."""
    found: dict[bytes, int | None] = {}
    for entry in dead_letters.read(client, partition, _DEAD_PAGE_ENTRIES):
        try:
            found[entry.entry.encode()] = frame.readings_in(entry.blocks())
        except BadFrame:
            found[entry.entry.encode()] = None
    return found


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


def _time_ms(id_: bytes) -> int:
    return int(id_.partition(b"-")[0])
