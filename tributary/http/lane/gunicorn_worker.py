"""The gunicorn worker that serves the lane, and the ASGI application behind it."""

from __future__ import annotations

import gc
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, ClassVar, cast

from a2wsgi import WSGIMiddleware
from flask import Flask
from uvicorn_worker import UvicornWorker  # type: ignore[import-untyped]

from tributary.http.lane.connection import Connection
from tributary.http.lane.lane import Lane

_COLLECT_AFTER = (20_000, 20, 20)  # Python: 700, 10, 10

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Application:
    """What uvicorn serves: the lane as long as it lives, and Flask for what the lane leaves."""

    def __init__(self, lane: Lane, flask: Flask, threads: int) -> None:
        self.lane = lane

        def wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            for name, value in environ.items():
                if name.startswith(("HTTP_", "CONTENT_TYPE")):
                    # Space around a value is no part of it (RFC 9110 5.5); llhttp leaves it on.
                    environ[name] = value.strip(" \t")
            return flask(environ, start_response)

        self._general = WSGIMiddleware(cast(Any, wsgi), workers=threads)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """One request, or the life of the process (ASGI 3)."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        mounted = self.lane.mounts.get(scope["path"])
        if mounted is not None:
            await mounted(scope, receive, send)
        else:
            await self._general(cast(Any, scope), cast(Any, receive), cast(Any, send))

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.lane.start()
        # What is there now lives as long as the process, and what a request makes is mostly gone
        # with it: the collector of cycles need not look at the one, nor often at the other.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECT_AFTER)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.lane.stop()
        await send({"type": "lifespan.shutdown.complete"})


class LaneWorker(UvicornWorker):  # type: ignore[misc]  # it has no types
    """gunicorn's part of one HTTP process whose protocol is the lane."""

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
        said = logging.getLogger("uvicorn.error")  # where every other library's lines go
        said.handlers, said.propagate = [], True
        said.setLevel(logging.WARNING)
