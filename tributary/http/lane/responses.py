"""Responses as bytes, with the current date in them; what repeats is built once a second."""

from __future__ import annotations

import http
from email.utils import formatdate

from tributary.errors import Overloaded
from tributary.http import flask_app
from tributary.http.lane.head import Rejection

_REASONS = {status.value: status.phrase for status in http.HTTPStatus}


_CLOSE = b"Connection: close\r\n"


class Responses:
    """Builds responses; `tick` must be called about once a second for the date."""

    def __init__(self) -> None:
        self._heads: dict[int, bytes] = {}
        self._whole: dict[bytes, bytes] = {}
        self._date = b""
        self.tick()

    def tick(self) -> None:
        """Take over the current date."""
        self._date = formatdate(usegmt=True).encode()
        self._heads.clear()
        self._whole.clear()

    def json(self, status: int, body: bytes, headers: bytes = b"") -> bytes:
        """A response with a JSON body; more headers, each ending in CRLF, go in before it."""
        head = self._heads.get(status)
        if head is None:
            head = self._heads[status] = b"HTTP/1.1 %d %b\r\nDate: %b\r\n%b" % (
                status,
                _REASONS.get(status, "Unknown").encode(),
                self._date,
                b"Content-Type: application/json\r\n",
            )
        return b"%bContent-Length: %d\r\n%b\r\n%b" % (head, len(body), headers, body)

    def ok(self, body: bytes) -> bytes:
        """A 200 whose body is one of few: the whole response is remembered."""
        whole = self._whole.get(body)
        if whole is None:
            whole = self._whole[body] = self.json(200, body)
        return whole

    def error(self, error: Exception) -> bytes:
        """The response that tells an error, as Flask tells it."""
        status, body, headers = flask_app.to_response(error)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return self.json(status, body, lines.encode())

    def rejection(self, rejection: Rejection) -> bytes:
        """The last response of a connection whose bytes cannot be followed any further."""
        return self.json(
            rejection.status, flask_app.error_body(rejection.code, rejection.message), _CLOSE
        )

    def overloaded(self) -> bytes:
        """503: the server holds as much as it may; the client shall come back."""
        return self.error(Overloaded())
