"""A real HTTP server with scripted responses, which records the requests."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple

HANG_UP = 0  # instead of a status: close the connection without a response


class Response(NamedTuple):
    status: int
    body: Any = None
    headers: Mapping[str, str] = MappingProxyType({})


OK = Response(200, {"success": True})


def later(status: int = 503, retry_after: str = "0") -> Response:
    """A temporary failure."""
    error = {"code": "unavailable", "message": "Redis is away"}
    return Response(status, {"success": False, "error": error}, {"Retry-After": retry_after})


def no(status: int, code: str, index: int | None = None) -> Response:
    """A permanent refusal."""
    error = {"code": code, "message": f"because of {code}", "field": "x", "index": index}
    return Response(status, {"success": False, "error": error})


def accepted(count: int) -> Response:
    """An accepted array."""
    return Response(200, {"success": True, "accepted": count})


class Received(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Scripted:
    """Responses in order; the last one is repeated."""

    def __init__(self, responses: list[Response]) -> None:
        self.requests: list[Received] = []
        self.url = ""
        self._responses = responses

    def next(self) -> Response:
        return self._responses.pop(0) if len(self._responses) > 1 else self._responses[0]


READY = MappingProxyType({
    "/readyz": Response(200, {"ready": True}),
    "/openapi.json": Response(404),
    "/api/v1/status": Response(200, {"lag_s": 0.0}),
})  # fmt: skip


@contextmanager
def scripted(
    *responses: Response, fixed: Mapping[str, Response] = MappingProxyType({})
) -> Iterator[Scripted]:
    """Serve these responses; `fixed` ones, by path, are always the same and not recorded."""
    script = Scripted(list(responses))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            known = fixed.get(self.path.partition("?")[0])
            if known is None:
                script.requests.append(Received(self.command, self.path, dict(self.headers), body))
            response = known or script.next()
            if response.status == HANG_UP:
                self.close_connection = True
                return
            content = json.dumps(response.body).encode()
            self.send_response(response.status)
            for name, value in {**response.headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # noqa: N815 (the same)

        def log_message(self, *_: object) -> None:
            """Log nothing: the requests are in `requests`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    script.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
