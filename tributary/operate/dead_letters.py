"""Lists, replays and drops dead entries: those that the aggregators could not apply.

Every function raises `Unavailable` while Redis cannot reply; a part may have been done then.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import redis

from tributary.errors import BadFrame
from tributary.model import frame
from tributary.operate.forgetting import records
from tributary.settings import Settings
from tributary.store import keys, scripts, stream
from tributary.store.redis_client import failures

_PAGE_ENTRIES = 500


class DeadEntry(NamedTuple):
    """An entry that an aggregator has buried."""

    partition: int
    id: str  # in the dead stream; starts with the time it was buried, UTC ms
    entry: str  # id in the stream of readings
    reason: str
    readings: int  # counted as dead
    fields: list[bytes]  # field, value, … as in the stream of readings

    @property
    def name(self) -> str:
        """Its name on the command line."""
        return f"{self.partition}/{self.id}"

    @property
    def buried_at_ms(self) -> int:
        """Time it was buried, UTC."""
        return int(self.id.partition("-")[0])

    def packed(self) -> bytes:
        """Its frame, packed; raises `BadFrame` if it has none."""
        fields = dict(zip(self.fields[0::2], self.fields[1::2], strict=True))
        if frame.FIELD not in fields:
            for name in fields.keys() - {b"e", b"n"}:
                frame.require_known(name)
            raise BadFrame("the entry has no frame: field r is missing")
        return fields[frame.FIELD]

    def blocks(self) -> list[frame.RawBlock]:
        """Its readings; raises `BadFrame` if they cannot be decoded."""
        return frame.unpack(self.packed())


def read(client: redis.Redis, partition: int) -> Iterator[DeadEntry]:
    """Iterate over the dead entries of a partition, oldest first."""
    after = "-"
    while True:
        with failures():
            page: Any = client.xrange(keys.dead(partition), after, "+", count=_PAGE_ENTRIES)
        for id_, fields in page:
            yield _parsed(partition, id_, fields)
        if len(page) < _PAGE_ENTRIES:
            return
        after = "(" + page[-1][0].decode()


def find(client: redis.Redis, name: str) -> DeadEntry | None:
    """Find a dead entry by its name; None if there is none; ValueError if it is malformed."""
    number, _, id_ = name.partition("/")
    parts = id_.split("-")
    if not (number.isdecimal() and len(parts) == 2 and all(p.isdecimal() for p in parts)):
        raise ValueError(f"{name!r} is not PARTITION/ID, as `tributary dead list` prints it")
    with failures():
        found: Any = client.xrange(keys.dead(int(number)), id_, id_)
    return _parsed(int(number), *found[0]) if found else None


def replay(
    client: redis.Redis, settings: Settings, entries: Iterable[DeadEntry]
) -> tuple[int, dict[str, str]]:
    """Append entries to the stream again; they are no longer dead.

    Returns how many were appended, and for the others the reason by name.
    """
    replayed, failed = 0, {}
    asked = records.read(client, range(settings.partitions))
    forgotten = {device for record in asked for device in record.tombstone.devices}
    for entry in entries:
        try:
            blocks = entry.blocks()
        except BadFrame as error:
            failed[entry.name] = str(error)
            continue
        if not forgotten.isdisjoint(chain.from_iterable(map(_devices, blocks))):
            failed[entry.name] = "a device is being forgotten; retry later"
            continue
        command = scripts.replay(
            entry.partition,
            max_entries=str(settings.stream_max_entries),
            unread_max=str(stream.unread_max(settings)),
            entry=entry.id,
            readings=frame.readings_in(blocks),
            frame=entry.packed(),
        )
        with failures():
            is_replayed, is_full = scripts.run(client, command)
        if is_replayed:
            replayed += 1
        else:
            failed[entry.name] = "the backlog is full; retry later" if is_full else "not found"
    return replayed, failed


def drop(client: redis.Redis, entries: Iterable[DeadEntry]) -> int:
    """Delete entries permanently; they stay counted as dead. Returns how many existed."""
    dropped = 0
    by_partition = sorted(entries, key=attrgetter("partition"))
    for partition, group in itertools.groupby(by_partition, key=attrgetter("partition")):
        with failures():
            dropped += int(client.xdel(keys.dead(partition), *(entry.id for entry in group)))
    return dropped


def _devices(block: frame.RawBlock) -> list[str]:
    return [block[0]] if isinstance(block[0], str) else block[0]


def _parsed(partition: int, id_: bytes, fields: dict[bytes, bytes]) -> DeadEntry:
    return DeadEntry(
        partition,
        id_.decode(),
        fields.get(b"id", b"").decode(),
        fields.get(b"reason", b"").decode(errors="replace"),
        int(fields.get(b"readings", b"1")),
        msgspec.msgpack.decode(fields.get(b"fields", b"\x90"), type=list[bytes]),
    )
