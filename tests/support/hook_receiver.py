"""A server that receives webhooks, and mails."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

SECRET = "whsec_" + "dHJpYnV0YXJ5IGFsZXJ0cyB0ZXN0IHNlY3JldCAhISE="


class Hook(NamedTuple):
    """A webhook as it arrived."""

    headers: dict[str, str]
    body: bytes
    at_s: float  # time.time

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class Receiver:
    """Listens on 127.0.0.1; `status` decides about each webhook and may raise to break it off."""

    def __init__(self, status: Callable[[Hook], int] = lambda _: 204) -> None:
        self.hooks: list[Hook] = []
        self.status = status
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                names = {name.lower(): value for name, value in self.headers.items()}
                hook = Hook(names, body, time.time())
                receiver.hooks.append(hook)
                self.send_response(receiver.status(hook))
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None:
                return

        self._server = Listener(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?key=hidden"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def ids(self) -> list[str]:
        return [hook.id for hook in self.hooks]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
