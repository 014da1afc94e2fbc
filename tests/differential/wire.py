"""Raw requests on a socket, and their responses, parsed as strictly as RFC 9112 allows."""

from __future__ import annotations

import re
import socket
from typing import NamedTuple

TIMEOUT_S = 6.0
# Of the connection, the time or the request, not of the response.
_TRANSPORT = frozenset(("date", "expires", "server", "connection", "keep-alive", "x-request-id"))
_VOLATILE = (
    (re.compile(rb'"age_ms":\d+'), b'"age_ms":0'),
    (re.compile(rb'"(from|to)":"[^"]*"'), rb'"\1":""'),
)


class Request(NamedTuple):
    """The bytes of a request; `ends`: the connection ends after its response."""

    label: str
    raw: bytes
    ends: bool = False
    is_head: bool = False
    waits_at: int = 0  # offset of a body that is sent after 100 Continue


class Response(NamedTuple):
    """The comparable part of a response; status 0: the connection ended without one."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    ended: bool = False


class Client:
    """A client of one server; it reconnects when the server ends the connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._data = b""

    def play(self, batches: list[list[Request]]) -> list[Response]:
        """Send each batch in one write, and read its responses."""
        responses: list[Response] = []
        for batch in batches:
            responses += self._batch(batch)
        self._close()
        return responses

    def _batch(self, batch: list[Request]) -> list[Response]:
        responses: list[Response] = []
        is_sent = False
        while rest := batch[len(responses) :]:
            if self._socket is None:
                self._connect()
                is_sent = False  # or lost, if the server ended the connection early
            if not is_sent:
                self._send(_at_once(rest))
                is_sent = True
            responses.append(self._response(rest[0]))
        return responses

    def _connect(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""

    def _send(self, data: bytes) -> None:
        assert self._socket is not None
        try:
            self._socket.sendall(data)
        except OSError:  # rejected while it was being sent: the response has arrived already
            return

    def _response(self, request: Request) -> Response:
        try:
            return self._read(request)
        except EOFError:
            self._close()
            return Response(0, ended=True)
        except TimeoutError:
            self._close()
            return Response(0)

    def _read(self, request: Request) -> Response:
        while True:
            head = self._until(b"\r\n\r\n").decode("latin-1")
            line, *lines = head.split("\r\n")
            status = int(re.fullmatch(r"HTTP/1\.[01] (\d{3}) [ -~]*", line)[1])  # type: ignore[index]
            if status >= 200:
                break
            if request.waits_at:
                self._send(request.raw[request.waits_at :])
        pairs = [line.split(": ", 1) for line in lines]
        headers = sorted((name.lower(), value) for name, value in pairs)
        named = dict(headers)
        assert len(named) == len(headers), headers
        has_body = not request.is_head and status not in (204, 304)
        body = self._exactly(int(named["content-length"])) if has_body else b""
        ended = named.get("connection", "").lower() == "close"
        if request.ends or ended:
            ended = self._is_at_end()
            self._close()
        compared = tuple(
            (name, _compared(name, value)) for name, value in headers if name not in _TRANSPORT
        )
        if ("content-type", "application/json") in compared:
            compared, body = _without_times(compared, body)
        return Response(status, compared, body, ended)

    def _until(self, end: bytes) -> bytes:
        while (at := self._data.find(end)) < 0:
            self._more()
        found, self._data = self._data[:at], self._data[at + len(end) :]
        return found

    def _exactly(self, length: int) -> bytes:
        while len(self._data) < length:
            self._more()
        found, self._data = self._data[:length], self._data[length:]
        return found

    def _more(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise EOFError
        self._data += data

    def _is_at_end(self) -> bool:
        try:
            self._more()
        except EOFError:
            return True
        except TimeoutError:
            return False
        return False

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _compared(name: str, value: str) -> str:
    if name == "allow":
        return ", ".join(sorted(value.split(", ")))
    if name == "etag" and value.startswith("W/"):  # of a body that depends on the time
        return "W/"
    return value


def _at_once(batch: list[Request]) -> bytes:
    first = batch[0]
    if first.waits_at:
        return first.raw[: first.waits_at]
    return b"".join(request.raw for request in batch)


def _without_times(
    headers: tuple[tuple[str, str], ...], body: bytes
) -> tuple[tuple[tuple[str, str], ...], bytes]:
    """Headers and body without what depends on the time."""
    replaced = body
    for pattern, instead in _VOLATILE:
        replaced = pattern.sub(instead, replaced)
    if replaced == body and body:
        return headers, body
    return tuple(pair for pair in headers if pair[0] != "content-length"), replaced
