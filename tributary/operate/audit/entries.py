"""The entries of a partition in order, and from which moment on none of them is missing."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Any, NamedTuple

import redis

from tributary.store import keys
from tributary.store.redis_client import failures

_PAGE_BYTES = 4_194_304
_PAGE_MAX_ENTRIES = 1_000
_FIRST_PAGE_ENTRIES = 16

NEVER_MS = 2**62

Id = tuple[int, int]


def parsed(id_: bytes | str) -> Id:
    """An entry id, comparable: ms of its arrival, and its number within that."""
    text = id_.decode() if isinstance(id_, bytes) else id_
    ms, _, number = text.partition("-")
    return int(ms), int(number or 0)


class Entry(NamedTuple):
    """One entry that append or forget wrote."""

    ordinal: int  # among the entries read
    id: bytes
    fields: dict[bytes, bytes]


class Entries:
    """Reads the stream of a partition forward, and which of its entries are buried.

    `known_from_ms` is None while every reading ever applied has been read: the entries are
    numbered from 1 without a gap. Otherwise every entry that arrived at or after it has been
    read, and an older reading may be missing.
    """

    def __init__(self, client: redis.Redis, partition: int, from_ms: int | None) -> None:
        self._client = client
        self.partition = partition
        self._from = "-" if from_ms is None else str(from_ms)
        self._number = 0  # of the last entry read
        self._count = _FIRST_PAGE_ENTRIES
        self._ids: list[Id] = []
        self._numbers = array("q")  # by ordinal
        self._applied: dict[bytes, int] = {}
        self.last: Id = (0, 0)
        self.known_from_ms: int | None = None
        self.gap_ordinal = 0  # of the first entry behind the latest gap

    @property
    def border(self) -> Id:
        """The first entry behind the latest gap; if there is none, what follows the last one."""
        if self.gap_ordinal < len(self._ids):
            return self._ids[self.gap_ordinal]
        return self.last[0], self.last[1] + 1

    @property
    def run_ordinal(self) -> int:
        """The ordinal of the first entry behind the latest gap."""
        return bisect_left(self._ids, (self.known_from_ms or 0, 0))

    def applied(self, id_: bytes, readings: int) -> int:
        """How many of the readings of an entry up to `hwm` were applied: the others are dead."""
        return self._applied.get(id_, readings)

    def is_buried(self, id_: bytes) -> bool:
        """Whether an entry was not applied, or not all of it."""
        return id_ in self._applied

    def arrival_behind_ms(self, number: int) -> int:
        """When the first entry with a greater number arrived; the far future if none has."""
        found = self.id_behind(number)
        return NEVER_MS if found is None else found[0]

    def id_behind(self, number: int) -> Id | None:
        """The first entry with a greater number."""
        place = bisect_right(self._numbers, number)
        return self._ids[place] if place < len(self._ids) else None

    def ordinal(self, id_: str | Id) -> int:
        """The ordinal of the last entry up to an id; -1 if there is none."""
        return bisect_right(self._ids, parsed(id_) if isinstance(id_, str) else id_) - 1

    def id_of(self, ordinal: int) -> Id:
        """The id of an entry."""
        return self._ids[ordinal]

    def read_to(self, hwm: str) -> Iterator[Entry]:
        """The entries that follow those read, up to `hwm`, which is applied.

        Raises:
            Unavailable: Redis is.
        """
        end = parsed(hwm)
        while self.last < end:
            page = self._page(hwm)
            if not page:
                break
            for id_, fields in page:
                self.last = parsed(id_)
                if self._is_numbered(fields):
                    self._ids.append(self.last)
                    self._numbers.append(self._number)
                    yield Entry(len(self._ids) - 1, id_, fields)
        if self.last < end:  # the last ones are gone
            self._note_gap(end[0] + 1)
            self.last = end

    def note_gap(self) -> None:
        """Treat what the last entry has changed as unknown."""
        self._note_gap(self.last[0] + 1)

    def _is_numbered(self, fields: dict[bytes, bytes]) -> bool:
        """Whether append wrote an entry; notes a gap before it."""
        try:
            number = int(fields[b"e"])
        except (KeyError, ValueError):
            return False
        if number != self._number + 1:
            self._note_gap(self.last[0])
        self._number = number
        return True

    def _note_gap(self, known_from_ms: int) -> None:
        self.known_from_ms = max(self.known_from_ms or 0, known_from_ms)
        self.gap_ordinal = len(self._ids)

    def _page(self, hwm: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
        first = (
            self._from
            if not self._ids and self.last == (0, 0)
            else f"({self.last[0]}-{self.last[1]}"
        )
        with failures():
            page: Any = self._client.xrange(
                keys.readings(self.partition), first, hwm, count=self._count
            )
        size_bytes = sum(len(value) for _, fields in page for value in fields.values())
        fitting = _PAGE_BYTES * len(page) // max(1, size_bytes)
        self._count = max(1, min(_PAGE_MAX_ENTRIES, fitting, self._count * 8))
        return list(page)

    def read_buried(self) -> None:
        """Read which entries were not applied, or not all of them."""
        with failures():
            members: Any = self._client.zrange(keys.buried(self.partition), 0, -1)
        self._applied = {id_: int(applied) for id_, applied in map(bytes.split, members)}
