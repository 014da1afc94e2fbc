"""Server-sent events as bytes, and their ids, which show a hub what a client has. Pure.

An id is the time at which the hub saw the change, and a digest of what it saw:
`1795341600250-9a0364b9`. From the time, a hub that has watched since then knows which devices
have changed; from the digest, any hub, even after a restart, knows whether the last one has.
"""

from __future__ import annotations

import re
import zlib
from typing import NamedTuple, Self

import msgspec

from api.read import alert_bodies
from tributary.model import reading as reading_
from tributary.model.alert import Transition

# A client that reconnects may reach a server with another clock.
_CLOCK_SKEW_MS = 1000
_ID = re.compile(r"([0-9]{1,15})-([0-9a-f]{8})")

_encode = msgspec.json.Encoder().encode
HELLO = b"retry: 1000\n: tributary\n\n"


class Stamp(NamedTuple):
    """When a change was seen, UTC ms, and the digest of what was seen."""

    changed_ms: int
    digest: str

    @classmethod
    def parse(cls, last_event_id: str) -> Self | None:
        """The stamp in a `Last-Event-ID`; None if Tributary did not create it."""
        match = _ID.fullmatch(last_event_id)
        return None if match is None else cls(int(match[1]), match[2])

    def covers(self, other: Stamp) -> bool:
        """Whether a client that has this event must have the other, of the same subscription."""
        return other.digest == self.digest or other.changed_ms < self.changed_ms - _CLOCK_SKEW_MS


class Event(NamedTuple):
    """An event about a device, as it is sent."""

    device: str
    stamp: Stamp
    wire: bytes


def digest(latest: bytes, *, stale: bool) -> str:
    """Eight hexadecimal digits for a stored document and its stale flag."""
    return f"{zlib.crc32(latest, stale):08x}"


def reading(device: str, stamp: Stamp, body: bytes) -> Event:
    """The event `reading`; its data is the response of `/collect`."""
    id_ = f"{stamp.changed_ms}-{stamp.digest}".encode()
    return Event(device, stamp, b"event: reading\nid: %b\ndata: %b\n\n" % (id_, body))


def alert(transition: Transition) -> bytes:
    """The event `alert`, without an id: it does not change from where a client resumes."""
    since = reading_.rfc3339(transition.since_ms)
    body = alert_bodies.Alert(
        transition.device, transition.metric, transition.rule, transition.severity,
        transition.state, since, transition.value,
    )  # fmt: skip
    return b"event: alert\ndata: %b\n\n" % _encode(body)


def heartbeat(now_ms: int) -> bytes:
    """A comment that shows an idle connection is alive."""
    return b": %d\n\n" % now_ms
