"""What all connections of one HTTP process share: routes, limits, the clock, the budget."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from loguru import logger

from tributary.http.lane.budget import Budget
from tributary.http.lane.head import Heads
from tributary.http.lane.request import CachedRoute, Handle
from tributary.http.lane.responses import Responses
from tributary.settings import Settings
from tributary.store.links import Links

if TYPE_CHECKING:
    from tributary.http.lane.connection import Connection

App = Callable[[Any, Any, Any], Awaitable[None]]  # ASGI 3
_SWEEP_S = 1.0
_NO_ROUTE = (None, re.compile(b"(?!)"))
_LINES_KEPT_MAX = 256  # more would push what is needed out of the processor's cache
_CACHED_ROUTES_MAX = 4_096


class Route(NamedTuple):
    """What the lane answers itself: a path, methods, and the query strings it understands.

    `{name}` in the path is a parameter of letters, digits and `._~:-`; Flask serves the others.
    """

    path: str
    methods: tuple[str, ...]
    query: str
    handle: Handle
    prepare: Callable[..., Any] = (
        bytes  # query string (and parameters of the path) → `Request.query`
    )


Target = tuple[Handle, Any]


class Service(Protocol):
    """What lives as long as the process serves, on its event loop."""

    async def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """End."""

    def close_streams(self) -> None:
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
        self.cached_routes: dict[bytes, CachedRoute] = {}  # by line and header block
        self.responses = Responses()
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
        self._routes: dict[bytes, tuple[Route | None, re.Pattern[bytes]]] = {}
        self._lines: dict[bytes, Target] = {}  # those without a query string
        self._met_lines: dict[bytes, Target] = {}
        self._templates: list[tuple[re.Pattern[bytes], Route]] = []
        self._new_line = b""  # the last that was met for the first time
        self._links: list[Links] = []
        self._services: list[Service] = []
        self.mounts: dict[str, App] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, routes: Iterable[Route], links: Links) -> None:
        """Answer these routes; keep the links that they use while the process serves."""
        self._links.append(links)
        for route in routes:
            if "{" in route.path:
                self._templates.append((_template(route), route))
                continue
            understood = re.compile(b"(%b) HTTP/1\\.1" % route.query.encode())
            for method in route.methods:
                line = f"{method} {route.path}".encode()
                self._routes[line] = (route, understood)
                self._lines[line + b" HTTP/1.1"] = (route.handle, route.prepare(b""))

    def readiness(self) -> str | None:
        """Why the routes cannot be answered now, or None."""
        if all(links.are_open for links in self._links):
            return None
        return "a connection to Redis is not open yet; it is tried again at least once a second"

    def mount(self, path: str, app: App, service: Service) -> None:
        """Let an ASGI application answer a path; keep its service running while serving."""
        self.mounts[path] = app
        self._services.append(service)

    def close_streams(self) -> None:
        """The process stops: end what would go on for ever."""
        for service in self._services:
            service.close_streams()

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

    def target(self, line: bytes) -> Target | None:
        """Who answers a request line, and what it asks for; None: not the lane."""
        known = self._lines.get(line) or self._met_lines.get(line)
        if known is not None:
            return known
        target = self._target(line)
        if target is not None:
            if len(self._met_lines) >= _LINES_KEPT_MAX:
                self._met_lines.clear()
            self._met_lines[line] = target
            self._new_line = line
        return target

    def _target(self, line: bytes) -> Target | None:
        path, _, rest = line.partition(b"?")
        route, understood = self._routes.get(path, _NO_ROUTE)
        if route is not None:
            match = understood.fullmatch(rest)
            return None if match is None else (route.handle, route.prepare(match[1]))
        for template, templated in self._templates:
            if (match := template.fullmatch(line)) is not None:
                params = match.groupdict(b"")
                query = params.pop("_query")
                named = {name: value.decode() for name, value in params.items()}
                return templated.handle, templated.prepare(query, **named)
        return None

    def cache_route(self, data: bytes) -> CachedRoute | None:
        """What a whole head leads to, if its block is known and nothing about it is special.

        The body of such a request is not counted against the budget: it is small, and a
        connection has one of them at most.
        """
        line, _, block = data.partition(b"\r\n")
        head = self.heads.known(block)
        target = self.target(line) if head is not None and head.is_usual else None
        if head is None or target is None:
            return None
        usual = CachedRoute(head, *target)
        if line is not self._new_line:  # of a million devices asked for once each, none is kept
            if len(self.cached_routes) >= _CACHED_ROUTES_MAX:
                self.cached_routes.clear()
            self.cached_routes[data] = usual
        return usual

    async def _sweep(self) -> None:
        """Once per second: the clock, the date and the deadlines."""
        loop = asyncio.get_running_loop()
        while True:
            self.now_s = loop.time()
            self.responses.tick()
            for connection in [c for c in self.connections if c.deadline_s < self.now_s]:
                connection.expire()
            await asyncio.sleep(_SWEEP_S)


def _template(route: Route) -> re.Pattern[bytes]:
    """The request lines of a path with parameters."""
    methods, path = "|".join(route.methods), re.escape(route.path)
    path = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[A-Za-z0-9._~:-]+)", path)
    return re.compile(rf"(?:{methods}) {path}(?:\?(?P<_query>{route.query}))? HTTP/1\.1".encode())


def _end_process_on_fault(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.bind(action="lane").opt(exception=error).critical("the lane has failed")
        os.kill(os.getpid(), signal.SIGTERM)  # the master starts another
