"""The gunicorn worker that serves the lane, and the ASGI application behind it."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, ClassVar, cast

from a2wsgi import WSGIMiddleware
from flask import Flask
from gunicorn.arbiter import Arbiter
from uvicorn_worker import UvicornWorker  # type: ignore[import-untyped]

from tributary.http.lane.connection import Connection
from tributary.http.lane.lane import Lane
from tributary.http.lane.server import DrainingServer

_GC_THRESHOLD = (20_000, 20, 20)  # Python's default: 700, 10, 10

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Application:
    """The ASGI application: the life of the lane, and Flask for all other routes."""

    def __init__(self, lane: Lane, flask: Flask, threads: int) -> None:
        self.lane = lane

        def wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            for name, value in environ.items():
                if name.startswith(("HTTP_", "CONTENT_TYPE")):
                    # Spaces around a value do not belong to it (RFC 9110 5.5); llhttp keeps them.
                    environ[name] = value.strip(" \t")
            return flask(environ, start_response)

        self._general = WSGIMiddleware(cast(Any, wsgi), workers=threads)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan of the process (ASGI 3)."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        mounted = self.lane.mounts.get(scope["path"])
        if mounted is not None:
            await mounted(scope, receive, send)
        else:
            await self._general(cast(Any, scope), cast(Any, receive), cast(Any, send))

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.lane.start()
        # Objects that exist now live as long as the process, and those of a request are mostly
        # freed with it: the garbage collector can skip the former and run rarely.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLD)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.lane.stop()
        await send({"type": "lifespan.shutdown.complete"})


class LaneWorker(UvicornWorker):  # type: ignore[misc]  # it has no types
    """The gunicorn worker whose protocol is the lane."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop",
        "http": Connection,
        "ws": "none",
        "interface": "asgi3",
        "lifespan": "on",
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        "timeout_graceful_shutdown": 8,
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        log = logging.getLogger("uvicorn.error")  # propagate to our log, like other libraries
        log.handlers, log.propagate = [], True
        log.setLevel(logging.WARNING)

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        self._install_sigquit_handler()
        server = DrainingServer(self.config)
        await server.serve(sockets=self.sockets)
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
