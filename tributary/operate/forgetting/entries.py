"""The devices that entries of streams name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import redis

from tributary.errors import BadFrame
from tributary.model import frame
from tributary.store import keys
from tributary.store.redis_client import failures
from tributary.store.tombstone import FIELD, Tombstone

_PAGE_MAX_ENTRIES = 1_000
_PAGE_BYTES = 4_194_304
_FIRST_PAGE_ENTRIES = 16


class Entry(NamedTuple):
    """An entry, and what it names."""

    id: str
    readings: dict[str, int]  # by device; a tombstone has 0 of each
    is_tombstone: bool
    unknown: bytes  # what could not be decoded, and may name any device

    def names(self, devices: frozenset[str]) -> bool:
        """Whether it names one of the devices, or may name it."""
        if not devices.isdisjoint(self.readings):
            return True
        return bool(self.unknown) and any(each.encode() in self.unknown for each in devices)

    def others(self, devices: frozenset[str]) -> int:
        """How many readings of other devices it contains."""
        return sum(n for device, n in self.readings.items() if device not in devices)


def parse(id_: bytes, fields: list[bytes]) -> Entry:
    """Find the devices of an entry; `fields` alternates names and values."""
    found: dict[str, int] = {}
    is_tombstone, unknown = False, b""
    for name, value in zip(fields[0::2], fields[1::2], strict=False):
        try:
            if name == b"r":
                _count(frame.unpack(value), found)
            elif name == FIELD:
                is_tombstone = True
                found.update(dict.fromkeys(Tombstone.parse(value).devices, 0))
            elif not value.isdigit():
                unknown += value
        except (BadFrame, TypeError, ValueError):
            unknown += value
    return Entry(id_.decode(), found, is_tombstone, unknown)


def read(client: redis.Redis, partition: int, first: str = "-", last: str = "+") -> Iterator[Entry]:
    """The entries of a stream of readings between two ids, in pages of a few megabytes."""
    for id_, fields in pages(client, keys.readings(partition), first, last):
        yield parse(id_, fields)


def pages(
    client: redis.Redis, key: str, first: str = "-", last: str = "+"
) -> Iterator[tuple[bytes, list[bytes]]]:
    """The entries of any stream with their fields and values, alternating."""
    count = _FIRST_PAGE_ENTRIES
    while True:
        with failures():
            page: Any = client.xrange(key, first, last, count=count)
        size_bytes = 0
        for id_, fields in page:
            size_bytes += sum(map(len, fields.values()))
            yield id_, [part for pair in fields.items() for part in pair]
        if len(page) < count:
            return
        first = "(" + page[-1][0].decode()
        fitting = _PAGE_BYTES * count // max(1, size_bytes)
        count = max(1, min(_PAGE_MAX_ENTRIES, fitting, 8 * count))


def buried(fields: dict[bytes, bytes]) -> tuple[str, Entry]:
    """The id in the stream of readings and the content of a dead entry."""
    id_ = fields.get(b"id", b"0-0")
    packed = fields.get(b"fields", b"\x90")
    try:
        inner = msgspec.msgpack.decode(packed, type=list[bytes])
    except msgspec.MsgspecError:
        inner = [b"", packed]
    return id_.decode(errors="replace"), parse(id_, inner)


def _count(blocks: list[frame.RawBlock], found: dict[str, int]) -> None:
    for block in blocks:
        device = block[0]
        if isinstance(device, str):
            found[device] = found.get(device, 0) + frame.readings_in([block])
        else:
            for each in device:
                found[each] = found.get(each, 0) + 1
