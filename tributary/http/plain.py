"""The gunicorn worker of `--no-lane`: Flask on threads, refusing what the lane refuses.

gunicorn's parser judges the bytes here and llhttp those of the lane. Both refuse with our one
shape of error. What stays different is told in docs/http.md, under "Without the lane".
"""

from __future__ import annotations

import http
from collections.abc import Mapping
from email.utils import formatdate
from types import MappingProxyType
from typing import Any

from flask import Flask, Response
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from tributary.http import flask_app
from tributary.http.lane import framing, head
from tributary.http.lane.head import Heads, Rejection


class PlainWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """One HTTP process without the lane; `body_max_bytes` is set by `worker_class`."""

    body_max_bytes = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._heads = Heads()

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Answer a request that gunicorn has parsed; whether the connection goes on."""
        rejection = self._rejection(req)
        if rejection is None:
            return bool(super().handle_request(req, conn))
        _send(conn.sock, rejection.status, flask_app.error_body(rejection.code, rejection.message))
        return False

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Tell the client what gunicorn's parser, or a fault of ours, has raised."""
        rejection = _of_parser(exc)
        if rejection is None:
            _send(client, *flask_app.to_response(exc))
        else:
            _send(client, rejection.status, flask_app.error_body(rejection.code, rejection.message))

    def _rejection(self, req: Any) -> Rejection | None:
        """What the lane refuses and gunicorn does not."""
        fields = "".join(f"{name}: {value}\r\n" for name, value in req.headers)
        found = self._heads.get(f"{fields}\r\n".encode("latin-1"))
        if found.rejection is not None:
            return found.rejection
        if not found.has_host and req.version >= (1, 1):
            return head.NO_HOST
        if found.length > self.body_max_bytes:
            return framing.too_large(found.length, self.body_max_bytes)
        line = f"{req.method} {req.uri} HTTP/{req.version[0]}.{req.version[1]}"
        return framing.check_line(line.encode("latin-1"))


def worker_class(body_max_bytes: int) -> type[PlainWorker]:
    """The worker with its limit: gunicorn makes it, and passes nothing of ours on."""
    return type("PlainWorker", (PlainWorker,), {"body_max_bytes": body_max_bytes})


def tell_faults(app: Flask) -> Flask:
    """The app, made to tell what gunicorn raises while a body is read, in our one shape."""
    for kind in (errors.ParseException, errors.NoMoreData):
        app.register_error_handler(kind, _on_error)
    return app


def _on_error(error: Exception) -> Response:
    rejection = framing.malformed(error)
    return flask_app.json_response(
        flask_app.error_body(rejection.code, rejection.message), rejection.status
    )


def _of_parser(error: Exception) -> Rejection | None:
    if isinstance(error, errors.LimitRequestHeaders | errors.LimitRequestLine):
        return framing.HEAD_TOO_LARGE
    if isinstance(error, errors.InvalidHTTPVersion) and isinstance(error.version, tuple):
        return framing.UNKNOWN_VERSION
    if isinstance(error, errors.ExpectationFailed):
        return Rejection(417, "unknown_expectation", "only Expect: 100-continue is known")
    if isinstance(error, errors.ParseException):
        return framing.malformed(error)
    return None


def _send(
    client: Any, status: int, body: bytes, headers: Mapping[str, str] = MappingProxyType({})
) -> None:
    reason = http.HTTPStatus(status).phrase
    fields = {
        "Date": formatdate(usegmt=True),
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    client.sendall(f"HTTP/1.1 {status} {reason}\r\n{lines}\r\n".encode() + body)
