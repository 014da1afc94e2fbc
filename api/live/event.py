"""Server-sent events as bytes, and the ids by which a client says what it has. Pure.

An id is the moment the hub saw the change and a digest of what it saw: `1795341600250-9a0364b9`.
The moment tells a hub that has watched all along which devices have changed since; the digest
tells any hub, after a restart too, whether that one device still reads the same.
"""

from __future__ import annotations

import re
import zlib
from typing import NamedTuple, Self

# Clocks of two servers that a client is sent to one after the other may differ.
_CLOCKS_MS = 1000
_ID = re.compile(r"([0-9]{1,15})-([0-9a-f]{8})")

HELLO = b"retry: 1000\n: tributary\n\n"


class Stamp(NamedTuple):
    """When a change was seen, UTC ms, and the digest of what was seen."""

    changed_ms: int
    digest: str

    @classmethod
    def parse(cls, last_event_id: str) -> Self | None:
        """The stamp in a `Last-Event-ID`; None if it is none of ours."""
        match = _ID.fullmatch(last_event_id)
        return None if match is None else cls(int(match[1]), match[2])

    def covers(self, other: Stamp) -> bool:
        """Whether a client that has this event must have the other, of the same subscription."""
        return other.digest == self.digest or other.changed_ms < self.changed_ms - _CLOCKS_MS


class Event(NamedTuple):
    """An event about a device, as it is sent."""

    device: str
    stamp: Stamp
    wire: bytes


def digest(latest: bytes, *, stale: bool) -> str:
    """Eight hexadecimal digits for a stored answer and its flag."""
    return f"{zlib.crc32(latest, stale):08x}"


def reading(device: str, stamp: Stamp, answer: bytes) -> Event:
    """The event `reading`, whose data is what `/collect` answers."""
    id_ = f"{stamp.changed_ms}-{stamp.digest}".encode()
    return Event(device, stamp, b"event: reading\nid: %b\ndata: %b\n\n" % (id_, answer))


def heartbeat(now_ms: int) -> bytes:
    """A comment: the connection lives, though nothing has changed."""
    return b": %d\n\n" % now_ms
