"""The lane of one HTTP process: its routes, and what runs as long as it serves."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

from loguru import logger

from tributary.http.lane.context import Context
from tributary.http.lane.router import Route, Router
from tributary.settings import Settings
from tributary.store.links import Links

App = Callable[[Any, Any, Any], Awaitable[None]]  # ASGI 3
_TICK_S = 1.0


class Service(Protocol):
    """Runs on the event loop as long as the process serves."""

    async def start(self) -> None:
        """Start."""

    async def stop(self) -> None:
        """Stop."""

    def close_streams(self) -> None:
        """End every response that does not end by itself: the process is about to stop."""


class Lane:
    """Routes and services; one per process."""

    def __init__(self, settings: Settings) -> None:
        self.router = Router()
        self.context = Context(settings, self._close_streams)
        self.responses = self.context.responses
        self.mounts: dict[str, App] = {}
        self._links: list[Links] = []
        self._services: list[Service] = []
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, routes: Iterable[Route], links: Links) -> None:
        """Serve these routes; keep the links that they use open while serving."""
        self._links.append(links)
        self.router.add(routes)

    def mount(self, path: str, app: App, service: Service) -> None:
        """Serve a path with an ASGI application; run its service while serving."""
        self.mounts[path] = app
        self._services.append(service)

    def readiness(self) -> str | None:
        """Why the routes cannot be served now, or None."""
        if all(links.are_open for links in self._links):
            return None
        return "a connection to Redis is not open yet; it is retried at least once per second"

    async def start(self) -> None:
        """Open the links and start the clock."""
        await asyncio.gather(*(service.start() for service in self._services))
        self.context.tick(asyncio.get_running_loop().time())
        await asyncio.gather(*(links.open() for links in self._links))
        running = [self._keep_time(), *(links.keep() for links in self._links)]
        self._tasks = [asyncio.create_task(run) for run in running]
        for task in self._tasks:
            task.add_done_callback(_terminate_on_error)

    async def stop(self) -> None:
        """Stop what `start` has started."""
        await asyncio.gather(*(service.stop() for service in self._services))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep_time(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self.context.tick(loop.time())
            await asyncio.sleep(_TICK_S)

    def _close_streams(self) -> None:
        for service in self._services:
            service.close_streams()


def _terminate_on_error(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.bind(action="lane").opt(exception=error).critical("the lane has failed")
        os.kill(os.getpid(), signal.SIGTERM)  # the master starts another worker
