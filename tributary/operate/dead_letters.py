"""The dead entries: those that could not be applied, as the aggregators have buried them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import redis

from tributary.errors import BadFrame
from tributary.model import frame
from tributary.settings import Settings
from tributary.store import keys, scripts, stream
from tributary.store.redis_client import failures

_PAGE_ENTRIES = 500


class Buried(NamedTuple):
    """A dead entry."""

    partition: int
    id: str  # among the dead ones; begins with the time it was buried at, UTC ms
    entry: str  # its id in the stream of readings
    reason: str
    readings: int  # counted as dead for it
    fields: list[bytes]  # field, value, … as they stood in the stream

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        return f"{self.partition}/{self.id}"

    @property
    def buried_at_ms(self) -> int:
        """When it was buried, UTC."""
        return int(self.id.partition("-")[0])

    def packed(self) -> bytes:
        """The frame in it.

        Raises:
            BadFrame: there is none.
        """
        for name, value in zip(self.fields[0::2], self.fields[1::2], strict=True):
            if name == b"r":
                return value
        raise BadFrame("the entry has no field r: there is no frame in it")

    def blocks(self) -> list[frame.RawBlock]:
        """The readings in it.

        Raises:
            BadFrame: it holds none that can be decoded.
        """
        return frame.unpack(self.packed())


def buried(client: redis.Redis, partition: int) -> Iterator[Buried]:
    """The dead entries of a partition, oldest first.

    Raises:
        Unavailable: the server cannot answer now.
    """
    after = "-"
    while True:
        with failures():
            page: Any = client.xrange(keys.dead(partition), after, "+", count=_PAGE_ENTRIES)
        for id_, fields in page:
            yield _parsed(partition, id_, fields)
        if len(page) < _PAGE_ENTRIES:
            return
        after = "(" + page[-1][0].decode()


def find(client: redis.Redis, name: str) -> Buried | None:
    """The dead entry of this name, if there is one.

    Raises:
        ValueError: it is not the name of a dead entry.
        Unavailable: the server cannot answer now.
    """
    number, _, id_ = name.partition("/")
    parts = id_.split("-")
    if not (number.isdecimal() and len(parts) == 2 and all(p.isdecimal() for p in parts)):
        raise ValueError(f"{name!r} is not PARTITION/ID, as `tributary dead list` prints it")
    with failures():
        found: Any = client.xrange(keys.dead(int(number)), id_, id_)
    return _parsed(int(number), *found[0]) if found else None


def replay(
    client: redis.Redis, settings: Settings, entries: Iterable[Buried]
) -> tuple[int, dict[str, str]]:
    """Append entries again, so that they are counted once; they are dead no more.

    Returns how many were, and why others were not, by name.

    Raises:
        Unavailable: the server cannot take them now; some may have been replayed.
    """
    done, refused = 0, {}
    for entry in entries:
        try:
            blocks = entry.blocks()
        except BadFrame as error:
            refused[entry.name] = str(error)
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
            replayed, is_full = scripts.run(client, command)
        if replayed:
            done += 1
        else:
            refused[entry.name] = "too much is unread; try again" if is_full else "it is gone"
    return done, refused


def drop(client: redis.Redis, entries: Iterable[Buried]) -> int:
    """Delete entries for good; they stay counted as dead. Returns how many were there.

    Raises:
        Unavailable: the server cannot do it now; some may have been deleted.
    """
    dropped = 0
    by_partition = sorted(entries, key=attrgetter("partition"))
    for partition, group in itertools.groupby(by_partition, key=attrgetter("partition")):
        with failures():
            dropped += int(client.xdel(keys.dead(partition), *(entry.id for entry in group)))
    return dropped


def _parsed(partition: int, id_: bytes, fields: dict[bytes, bytes]) -> Buried:
    return Buried(
        partition,
        id_.decode(),
        fields.get(b"id", b"").decode(),
        fields.get(b"reason", b"").decode(errors="replace"),
        int(fields.get(b"readings", b"1")),
        msgspec.msgpack.decode(fields.get(b"fields", b"\x90"), type=list[bytes]),
    )
