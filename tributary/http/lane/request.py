"""A request that the lane answers, and its place in the order of its connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from tributary.http.lane.connection import Connection
    from tributary.http.lane.head import Head


class Request(msgspec.Struct, gc=False, eq=False):
    """What a route gets; it must call `respond` once, now or later."""

    connection: Connection
    head: Head
    query: Any  # as the route has prepared it
    body: bytes
    payload: bytes | None = None  # the whole response, once it is known
    counted_bytes: int = 0  # of the body, against the budget

    def respond(self, payload: bytes) -> None:
        """Send a whole response, as soon as those before it have been sent."""
        self.payload = payload
        self.connection.settle()


Handle = Callable[[Request], None]


class CachedRoute(msgspec.Struct, gc=False):
    """What a head has led to before: the same bytes will lead to the same."""

    head: Head
    handle: Handle
    query: Any
