"""HTTP processes for tests that send the same requests to the lane and to Flask."""

from __future__ import annotations

import http.client
import json
import re
from typing import Any, NamedTuple

from support.pipeline import environ
from support.processes import Process, tributary
from tributary.process.server_socket import listen
from tributary.settings import Settings


class Reply(NamedTuple):
    """A response: its JSON, and its header fields by lower-case name."""

    status: int
    json: Any
    headers: dict[str, str]

    @property
    def code(self) -> str:
        """The code of an error response."""
        return str(self.json["error"]["code"])


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
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            fields["Authorization"] = f"Bearer {token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, content, fields)
            response = connection.getresponse()
            text = response.read()
            named = {name.lower(): value for name, value in response.getheaders()}
            is_json = named.get("content-type") == "application/json"
            return Reply(response.status, json.loads(text) if is_json else None, named)
        finally:
            connection.close()

    def get(self, path: str, token: str = "", **headers: str) -> Reply:
        return self.ask("GET", path, None, token, **headers)

    def record(self, body: Any, token: str = "", query: str = "", **headers: str) -> Reply:
        return self.ask("POST", f"/record{query}", body, token, **headers)

    def close(self) -> None:
        self.process.kill()
