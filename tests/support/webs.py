"""HTTP processes for tests that send the same requests to the lane and to Flask."""

from __future__ import annotations

import re
from typing import Any

from support.pipeline import environ
from support.processes import Process, Reply, exchange, tributary
from tributary.process.server_socket import listen
from tributary.settings import Settings


class Web:
    """`tributary web`: record and collect, with or without the lane, by the settings."""

    SERVING = re.compile("action=serving")

    def __init__(self, settings: Settings, process: Process | None = None, port: int = 0) -> None:
        self.settings = settings
        self.process, self.port = (process, port) if process is not None else self._start()

    def _start(self) -> tuple[Process, int]:
        listener = listen(self.settings.host, 0)
        number = listener.fileno()
        process = tributary(
            "web", "--listener-fd", str(number), environ=environ(self.settings), pass_fds=(number,)
        )
        port = int(listener.getsockname()[1])
        listener.close()
        process.wait_for(self.SERVING)
        return process, port

    def ask(
        self, method: str, path: str, body: Any = None, token: str = "", **headers: str
    ) -> Reply:
        """Send one request on a new connection; a body that is not bytes is sent as JSON."""
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return exchange(f"http://127.0.0.1:{self.port}", method, path, body, **headers)

    def get(self, path: str, token: str = "", **headers: str) -> Reply:
        return self.ask("GET", path, None, token, **headers)

    def record(self, body: Any, token: str = "", query: str = "", **headers: str) -> Reply:
        return self.ask("POST", f"/record{query}", body, token, **headers)

    def close(self) -> None:
        self.process.kill()
