"""Rows in memory instead of Redis: what `commit.lua` writes, and what `read_series.lua` reads."""

from __future__ import annotations

from collections import defaultdict

from aggregator import writes
from aggregator.addresses import Addresses
from aggregator.fold import Folded
from aggregator.table import Table
from aggregator.writes import Owned, Writes
from tributary.model.address import Address
from tributary.model.rows import UNKNOWN, Shape, Stored, StoredSeries
from tributary.store import keys


class RowMemory:
    """The strings and hashes of partition 0."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.addresses = Addresses(0, shape)
        self.chunks: defaultdict[str, bytearray] = defaultdict(bytearray)
        self.rows: dict[str, bytes] = {}
        self.beyond: dict[str, bytes] = {}
        self.counters: dict[str, bytes] = {}
        self.quantiles: dict[str, bytes] = {}
        self.free: tuple[list[bytes], list[bytes], list[bytes]] = ([], [], [])
        self.written: list[int] = []  # bytes of each write

    def commit_fold(self, table: Table, folded: Folded) -> None:
        """Apply what a fold of readings of this partition alone has changed."""
        (found,) = writes.of(table, Owned.of(table, folded, [self.addresses]))
        self.commit(found)

    def commit(self, written: Writes) -> None:
        """Apply the writes of a commit."""
        _, used = self.addresses.commit()
        for free, count, freed in zip(self.free, used, written.freed, strict=True):
            free[:] = [*free[count:], *freed]
        self.rows.update(_pairs(written.rows))
        for key, offset, data in written.chunks:
            chunk = self.chunks[key]
            chunk.extend(bytes(max(0, offset + len(data) - len(chunk))))
            chunk[offset : offset + len(data)] = data
            self.written.append(len(data))
        self.beyond.update(_pairs(written.beyond))
        self.counters.update(_pairs(written.counters))
        self.quantiles.update(_pairs(written.quantiles))
        for name in written.within:
            self.beyond.pop(name, None)
        for name in written.undeclared:
            self.counters.pop(name, None)
            self.quantiles.pop(name, None)

    def stored(self, *series: tuple[str, str]) -> StoredSeries:
        """What is stored of series, by device and metric."""
        chunks: dict[int, bytes] = {}
        for key, chunk in self.chunks.items():
            head, number = key[: key.rindex(":") + 1], int(key.rpartition(":")[2])
            if head == keys.state_chunks(0):
                chunks[number] = bytes(chunk)
            elif head == keys.short_chunks(0):
                chunks[~number] = bytes(chunk)
        return StoredSeries([self._stored(keys.series(*each)) for each in series], chunks)

    def _stored(self, name: str) -> Stored:
        text, shape = self.rows.get(name), self.shape
        if text is None:
            return UNKNOWN
        address = Address.parse(text)
        rings = None
        if address.ring >= 0:
            chunk, row = divmod(address.ring, shape.ring_rows)
            held = self.chunks[f"{keys.ring_chunks(0)}{chunk}"]
            rings = bytes(held[row * shape.ring_bytes :][: shape.ring_bytes])
        beside = self.counters.get(name), self.quantiles.get(name)
        return Stored(address, None, rings, self.beyond.get(name, b""), *beside)


def _pairs(alternating: list[str | bytes]) -> dict[str, bytes]:
    names, values = map(list, (alternating[::2], alternating[1::2]))
    return {str(n): v for n, v in zip(names, values, strict=True) if isinstance(v, bytes)}
