"""A connection of the lane on a transport in memory; the test is its client."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from support.raw import post, request
from uvicorn import Config
from uvicorn.server import ServerState

from tributary.http.lane.connection import Connection
from tributary.http.lane.lane import Lane
from tributary.http.lane.request import Request
from tributary.http.lane.router import Route
from tributary.http.lane.state import State, check_transition
from tributary.settings import Settings

BODY_MAX_BYTES, IN_FLIGHT_MAX_BYTES = 20_000, 60_000
POST = post("a")
PARTIAL = request("POST /record", None, "Content-Length: 9")
LARGE = request("POST /record", b" " * BODY_MAX_BYTES)
GENERAL = request("GET /other")
CLOSING = request("POST /record", b"{}", "Connection: close")


class Memory(asyncio.Transport):
    """A transport whose other end is the test."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.is_reading = True
        self.ended = ""  # how the connection ended its side
        self.protocol: Connection | None = None
        self.is_slow = False  # every write fills the buffer

    def write(self, data: Any) -> None:
        self.sent += data
        if self.is_slow and self.protocol is not None:
            self.protocol.pause_writing()

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def write_eof(self) -> None:
        self.ended = "eof"

    def close(self) -> None:
        self.ended = "close"

    def abort(self) -> None:
        self.ended = "abort"

    def is_closing(self) -> bool:
        return self.ended in ("close", "abort")

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


class Traced(Connection):
    """Checks and records every change of state, also those of the fast path."""

    seen: set[tuple[State, State]]
    state: State | None = None

    @property
    def _state(self) -> State:
        assert self.state is not None
        return self.state

    @_state.setter
    def _state(self, following: State) -> None:
        if self.state is not None:
            check_transition(self.state, following)
            self.seen.add((self.state, following))
        self.state = following


class Client:
    """One connection, its lane, and the requests that its handler has got."""

    def __init__(self, seen: set[tuple[State, State]], connections_max: int = 10) -> None:
        self.lane = Lane(
            Settings(
                body_max_bytes=BODY_MAX_BYTES,
                in_flight_max_bytes=IN_FLIGHT_MAX_BYTES,
                connections_max=connections_max,
            )
        )
        self.pending: list[Request] = []
        self.lane.router.add([Route("/record", ("POST",), "", self.pending.append)])
        self.general_may_respond = asyncio.Event()
        config = Config(self, lifespan="off", log_config=None)
        config.load()
        config.loaded_app = self
        self.clock_s = 1000.0
        self.lane.context.tick(self.clock_s)
        self.transport = Memory()
        self.connection = self.transport.protocol = Traced(
            config, ServerState(), {}, asyncio.get_running_loop()
        )
        self.connection.seen = seen
        self.connection.connection_made(self.transport)

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
        await self.general_may_respond.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1.1 (\d+) ", self.transport.sent)]

    def send(self, data: bytes) -> State | None:
        if data:
            self.connection.data_received(data)
        return self.connection.state

    def respond(self, count: int = 1) -> State | None:
        ok = self.lane.responses.json(200, b"{}")
        for pending in self.pending[:count]:
            pending.respond(ok)
        del self.pending[:count]
        return self.connection.state

    def wait(self, seconds: float = 100_000) -> State | None:
        """Advance the clock of the lane."""
        self.clock_s += seconds
        self.lane.context.tick(self.clock_s)
        return self.connection.state

    async def general_responds(self) -> State | None:
        self.general_may_respond.set()
        for _ in range(10):
            await asyncio.sleep(0)
        return self.connection.state

    def exhaust(self) -> None:
        """Have other connections hold the whole budget."""
        self.lane.context.budget.held_bytes = 2 * IN_FLIGHT_MAX_BYTES

    def prime(self) -> None:
        """Send the request twice, so that its route is cached."""
        for _ in range(2):
            self.send(POST)
            self.respond()
        self.transport.sent = b""

    async def serve_all(self) -> None:
        while self.pending:
            self.respond(len(self.pending))
            await asyncio.sleep(0)
