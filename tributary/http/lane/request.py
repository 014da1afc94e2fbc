"""A request that the lane handles, queued in the order of its connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tributary.http.lane.head import Head


class Request(msgspec.Struct, gc=False, eq=False):
    """The argument of a handler, which must call `respond` once, now or later."""

    settle: Callable[[], None]  # sends what is ready on the connection
    head: Head
    query: Any  # as prepared by the route
    body: bytes
    response: bytes = b""  # complete; empty while the request is pending
    counted_bytes: int = 0  # of the body, against the budget

    def respond(self, response: bytes) -> None:
        """Send a complete response, as soon as those before it have been sent."""
        self.response = response
        self.settle()


Handler = Callable[[Request], None]
