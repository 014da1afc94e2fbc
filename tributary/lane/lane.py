"""What all connections of one HTTP process share: routes, limits, the clock, the budget."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from loguru import logger

from tributary.lane.answers import Answers
from tributary.lane.budget import Budget
from tributary.lane.head import Heads
from tributary.lane.links import Links
from tributary.lane.request import Handle, Usual
from tributary.settings import Settings

if TYPE_CHECKING:
    from tributary.lane.connection import Connection
    from tributary.lane.framing import Whole

App = Callable[[Any, Any, Any], Awaitable[None]]  # ASGI 3
_SWEEP_S = 1.0
_LINE = re.compile(rb"(GET|POST) (/[a-z0-9/_]{0,200})\?([!-~]{0,2000}) HTTP/1\.1")
_LINES_KEPT_MAX = 10_000
_USUAL_MAX_BYTES = 1_024  # of head and body each
_USUAL_KEPT_MAX = 4_096


class Route(NamedTuple):
    """What the lane answers itself: a path, methods, and the query strings it understands."""

    path: str
    methods: tuple[str, ...]
    query: str
    handle: Handle


class Service(Protocol):
    """What lives as long as the process serves, on its event loop."""

    async def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """End."""

    def let_go(self) -> None:
        """The process stops: end every answer that does not end by itself."""


class Limits(NamedTuple):
    """What one process and one connection may hold, and for how long."""

    body_max_bytes: int
    connections_max: int
    idle_s: float
    head_s: float
    body_s: float


class Lane:
    """The shared part of the lane, one per process."""

    def __init__(self, settings: Settings) -> None:
        self.heads = Heads()
        self.usual: dict[bytes, Usual] = {}  # by line and header block, as they came
        self.answers = Answers()
        self.connections: set[Connection] = set()
        self.budget = Budget(settings.in_flight_max_bytes)
        self.now_s = 0.0  # of the loop, as of the last sweep: deadlines need no better clock
        self.limits = Limits(
            settings.body_max_bytes,
            settings.connections_max,
            settings.idle_timeout_ms / 1000,
            settings.head_timeout_ms / 1000,
            settings.body_timeout_ms / 1000,
        )
        self._routes: dict[tuple[bytes, bytes], tuple[Handle, re.Pattern[bytes]]] = {}
        self._lines: dict[bytes, tuple[Handle, bytes]] = {}
        self._new_line = b""  # the last that was met for the first time
        self._links: list[Links] = []
        self._services: list[Service] = []
        self.mounts: dict[str, App] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._parent = os.getppid()

    def add(self, routes: Iterable[Route], links: Links) -> None:
        """Answer these routes; keep the links that they use while the process serves."""
        self._links.append(links)
        for path, methods, query, handle in routes:
            for method in methods:
                understood = re.compile(query.encode())
                self._routes[method.encode(), path.encode()] = (handle, understood)
                self._lines[f"{method} {path} HTTP/1.1".encode()] = (handle, b"")

    def readiness(self) -> str | None:
        """Why the routes cannot be answered now, or None."""
        if all(links.are_open for links in self._links):
            return None
        return "a connection to Redis is not open yet; it is tried again at least once a second"

    def mount(self, path: str, app: App, service: Service) -> None:
        """Let an ASGI application answer a path; keep its service running while serving."""
        self.mounts[path] = app
        self._services.append(service)

    def let_go(self) -> None:
        """The process stops: end what would go on for ever."""
        for service in self._services:
            service.let_go()

    async def start(self) -> None:
        """Open the links and begin to keep time."""
        await asyncio.gather(*(service.start() for service in self._services))
        self.now_s = asyncio.get_running_loop().time()
        await asyncio.gather(*(links.open() for links in self._links))
        running = [self._sweep(), *(links.keep() for links in self._links)]
        self._tasks = [asyncio.create_task(run) for run in running]
        for task in self._tasks:
            task.add_done_callback(_end_process_on_fault)

    async def stop(self) -> None:
        """Stop what `start` has begun."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(service.stop() for service in self._services))

    def target(self, line: bytes) -> tuple[Handle, bytes] | None:
        """Who answers a request line, and its query string; None: not the lane."""
        known = self._lines.get(line)
        if known is not None:
            return known
        match = _LINE.fullmatch(line)
        if match is None:
            return None
        handle, understood = self._routes.get((match[1], match[2]), (None, None))
        if handle is None or understood is None or understood.fullmatch(match[3]) is None:
            return None
        if len(self._lines) >= _LINES_KEPT_MAX:
            self._lines = {at: target for at, target in self._lines.items() if not target[1]}
        target = self._lines[line] = (handle, match[3])
        self._new_line = line
        return target

    def remember(self, whole: Whole, handle: Handle, query: bytes) -> None:
        """Keep what a request has led to, if the next one may be answered without asking again.

        Not if it is large: the bodies of those that are found here are not counted against the
        budget, and a connection has one of them at most.
        """
        head = whole.head
        if whole.line is self._new_line:
            return  # of a million devices that are asked for once each, none is usual
        is_unusual = head.expects_continue or not head.keep_alive or head.idempotency_key
        if is_unusual or max(head.length, len(head.plain_block)) > _USUAL_MAX_BYTES:
            return
        if len(self.usual) >= _USUAL_KEPT_MAX:
            self.usual.clear()
        self.usual[b"%b\r\n%b" % (whole.line, head.plain_block)] = Usual(head, handle, query)

    async def _sweep(self) -> None:
        """Once a second: the clock, the date, the deadlines, and whether anybody minds us."""
        loop = asyncio.get_running_loop()
        while True:
            self.now_s = loop.time()
            self.answers.tick()
            for connection in [c for c in self.connections if c.deadline_s < self.now_s]:
                connection.expire()
            if os.getppid() != self._parent:
                os.kill(os.getpid(), signal.SIGTERM)  # the master is gone: nobody could stop us
            await asyncio.sleep(_SWEEP_S)


def _end_process_on_fault(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.bind(action="lane").opt(exception=error).critical("the lane has failed")
        os.kill(os.getpid(), signal.SIGTERM)  # the master starts another
