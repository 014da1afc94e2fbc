"""The whole site under uvicorn, with an aggregator behind it; it can be restarted on its port."""

from __future__ import annotations

import re
import socket
import sys
from typing import Any

from support.pipeline import environ
from support.processes import ROOT, Process, Server, request, tributary
from tributary.settings import Settings

_READY = re.compile(r"Uvicorn running on (http://\S+)")


class Site:
    """Redis, an aggregator and the HTTP routes, each a process."""

    def __init__(self, server: Server, **changes: Any) -> None:
        self.server = server
        self.settings = Settings(redis_url=server.url, heartbeat_ms=100, **changes)
        self.aggregator = tributary("aggregator", environ=environ(self.settings))
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self._port = taken.getsockname()[1]
        self.start()

    def start(self) -> None:
        """Start the HTTP process; always on the same port."""
        command = [sys.executable, "-m", "uvicorn", "--factory", "bench.site:create_app"]
        bind = ["--port", str(self._port), "--timeout-graceful-shutdown", "1", "--no-access-log"]
        self.process = Process([*command, *bind], environ(self.settings), cwd=ROOT)
        self.url = self.process.wait_for(_READY)[1]

    def stop(self) -> None:
        """Stop the HTTP process only."""
        self.process.stop()

    def close(self) -> None:
        """Stop everything but Redis."""
        self.process.stop()
        self.aggregator.stop()

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        return request(self.url, "GET", path, None, headers)

    def post(self, body: Any) -> None:
        """Record."""
        status, answer = request(self.url, "POST", "/record", body, {})
        assert status == 200, answer
