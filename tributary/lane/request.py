"""A request that the lane answers, and its place in the order of its connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from tributary.lane.connection import Connection
    from tributary.lane.head import Head


class Request(msgspec.Struct, gc=False, eq=False):
    """What a route gets; it must call `answer` once, now or later."""

    connection: Connection
    head: Head
    query: bytes
    body: bytes
    payload: bytes | None = None  # the whole response, once it is known

    def answer(self, payload: bytes) -> None:
        """Send a whole response, as soon as those before it have been sent."""
        self.payload = payload
        self.connection.settle()
