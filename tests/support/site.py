"""`tributary up` with a server of its own; it can be restarted on the same port."""

from __future__ import annotations

from typing import Any

from support.pipeline import environ
from support.processes import HOSTS, READY, Server, free_port, request, tributary
from tributary.settings import Settings


class Site:
    """A Redis server and a `tributary up` that uses it."""

    def __init__(self, server: Server, **changes: Any) -> None:
        self.server = server
        own = {"data_dir": str(server.folder / "site"), "public_hosts": HOSTS}
        self.settings = Settings(redis_url=server.url, heartbeat_ms=100, **own | changes)
        self._port = free_port()
        self.start()

    def start(self) -> None:
        """Start everything except Redis, always on the same port."""
        self.process = tributary("up", "--port", str(self._port), environ=environ(self.settings))
        self.url = self.process.wait_for(READY)[1]

    def stop(self) -> None:
        """Stop everything except Redis."""
        self.process.stop()

    def close(self) -> None:
        """Stop it permanently."""
        self.process.stop()

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        return request(self.url, "GET", path, None, headers)

    def post(self, body: Any) -> None:
        """Record."""
        status, response = request(self.url, "POST", "/record", body, {})
        assert status == 200, response
