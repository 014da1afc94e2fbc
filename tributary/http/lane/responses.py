"""Responses as bytes, including the date; repeated parts are built once per second."""

from __future__ import annotations

import http
from email.utils import formatdate

from tributary.auth.guard import RequestHeaders
from tributary.auth.refusals import API, HTTP, REFUSALS
from tributary.errors import Overloaded
from tributary.http import flask_app, request_id
from tributary.http.error_body import error_body
from tributary.http.lane.head import Rejection
from tributary.http.response import JSON, Response

_REASONS = {status.value: status.phrase for status in http.HTTPStatus}
_CACHED_BODY_MAX_BYTES = 64
_CACHED_MAX = 4_096
_CLOSE = b"Connection: close\r\n"


class Responses:
    """Builds responses; call `tick` about once per second for the date."""

    def __init__(self) -> None:
        self._heads: dict[tuple[int, str], bytes] = {}
        self._complete: dict[Response, bytes] = {}
        self._date = b""
        self.tick()

    def tick(self) -> None:
        """Update the date."""
        self._date = formatdate(usegmt=True).encode()
        self._heads.clear()
        self._complete.clear()

    def json(self, status: int, body: bytes, headers: bytes = b"") -> bytes:
        """A response with a JSON body; each of the additional `headers` ends in CRLF."""
        head = self._heads.get((status, JSON)) or self._head(status, JSON)
        return b"%bContent-Length: %d\r\n%b\r\n%b" % (head, len(body), headers, body)

    def closing(self, response: bytes) -> bytes:
        """A response after which the connection is closed, so that the client does not reuse it."""
        line, end, rest = response.partition(b"\r\n")
        return b"".join((line, end, _CLOSE, rest))

    def render(self, response: Response) -> bytes:
        """Any response; short ones repeat, and are cached until the next tick."""
        complete = self._complete.get(response)
        if complete is None:
            body, status, content_type, headers = response
            head = self._heads.get((status, content_type)) or self._head(status, content_type)
            length = b"" if status == 204 else b"Content-Length: %d\r\n" % len(body)
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
            complete = b"%b%b%b\r\n%b" % (head, length, lines.encode(), body)
            if len(body) <= _CACHED_BODY_MAX_BYTES and len(self._complete) < _CACHED_MAX:
                self._complete[response] = complete
        return complete

    def _head(self, status: int, content_type: str) -> bytes:
        is_empty = status == 204
        head = self._heads[status, content_type] = b"HTTP/1.1 %d %b\r\nDate: %b\r\n%b" % (
            status,
            _REASONS.get(status, "Unknown").encode(),
            self._date,
            b"" if is_empty else b"Content-Type: %b\r\n" % content_type.encode(),
        )
        return head

    def error(self, error: Exception, door: str = API, head: RequestHeaders | None = None) -> bytes:
        """The same response to an error as Flask sends; `head` is that of the request."""
        with request_id.logged(request_id.given_in(head) or request_id.new()) as id_:
            status, body, headers = flask_app.to_response(error, door)
        named = {**headers, request_id.HEADER: id_}
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        return self.json(status, body, lines.encode())

    def rejection(self, rejection: Rejection) -> bytes:
        """The last response of a connection, because further data cannot be parsed."""
        REFUSALS.note(rejection.status, rejection.code, HTTP, rejection.message)
        body = error_body(rejection.code, rejection.message)
        named = f"{request_id.HEADER}: {request_id.new()}\r\n".encode()
        return self.json(rejection.status, body, _CLOSE + named)

    def overloaded(self) -> bytes:
        """503: the process has reached a limit; the client is to retry later."""
        return self.error(Overloaded(), HTTP)
