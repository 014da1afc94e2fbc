"""A message of the broker, and the reasons to store nothing of one."""

from __future__ import annotations

import msgspec

from ingest.doors.door import Query
from tributary.auth.guard import RequestHeaders


class Message(msgspec.Struct, eq=False):
    """One PUBLISH packet."""

    topic: str
    payload: bytes
    arrived_ms: int
    qos: int = 0
    mid: int = 0  # packet identifier, unique among those not acknowledged; 0 at QoS 0
    is_repeated: bool = False  # the flag DUP
    key: str | None = None  # the user property `Idempotency-Key`
    is_done: bool = False  # may be acknowledged

    @property
    def size(self) -> int:
        """Bytes that it occupies, about."""
        return len(self.payload) + len(self.topic) + 200

    def repeats(self, earlier: Message) -> bool:
        """Whether it is a redelivery of another one."""
        return self.is_repeated and self.topic == earlier.topic and self.payload == earlier.payload


class Ignored(Exception):
    """A message that carries no reading by convention: a state of the device, a command."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DoorRequest(msgspec.Struct):
    """A payload as the request of a door of `ingest`."""

    body: bytes
    head: RequestHeaders
    query: Query
