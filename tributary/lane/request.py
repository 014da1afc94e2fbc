"""A request that the lane answers, and its place in the order of its connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tributary.lane.connection import Connection
    from tributary.lane.head import Head


class Request:
    """What a route gets; it must call `answer` once, now or later."""

    __slots__ = ("_connection", "body", "head", "payload", "query")

    def __init__(self, connection: Connection, head: Head, query: bytes, body: bytes) -> None:
        self._connection = connection
        self.head = head
        self.query = query
        self.body = body
        self.payload: bytes | None = None

    def answer(self, payload: bytes) -> None:
        """Send a whole response, as soon as those before it have been sent."""
        self.payload = payload
        self._connection.settle()
