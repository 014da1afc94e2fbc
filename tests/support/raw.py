"""HTTP as bytes on a socket, for requests that no client library sends."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

TIMEOUT_S = 30.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Response(NamedTuple):
    """One response."""

    status: int
    head: bytes
    body: bytes


class Raw:
    """A connection that sends bytes and splits what it receives into responses."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self.socket = socket.create_connection((address.hostname, address.port), TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""

    def send(self, data: bytes) -> None:
        """Send; ignore that the other side has closed."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def send_in_pieces(self, data: bytes, size: int) -> None:
        """Send in pieces, if the kernel allows each as its own segment."""
        for at in range(0, len(data), size):
            self.send(data[at : at + size])

    def finish(self) -> None:
        """Close the sending side, but keep reading."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def response(self, *, has_body: bool = True) -> Response | None:
        """The next response; None at the end of the connection."""
        while (end := self._unread.find(b"\r\n\r\n")) < 0:
            if not self._receive():
                assert not self._unread, f"the response is incomplete: {self._unread!r:.200}"
                return None
        head = self._unread[: end + 2]
        self._unread = self._unread[end + 4 :]
        status = int(head.split(b" ", 2)[1])
        length = _LENGTH.search(head)
        size = int(length[1]) if length and has_body and status >= 200 else 0
        while len(self._unread) < size:
            assert self._receive(), f"the body is incomplete: {self._unread!r:.200}"
        body, self._unread = self._unread[:size], self._unread[size:]
        return Response(status, head, body)

    def responses(self) -> list[Response]:
        """All responses until the server closes the connection."""
        found = []
        while (response := self.response()) is not None:
            found.append(response)
        return found

    def close(self) -> None:
        self.socket.close()

    def _receive(self) -> bool:
        try:
            data = self.socket.recv(65_536)
        except ConnectionResetError:
            return False
        self._unread += data
        return bool(data)


@contextlib.contextmanager
def connected(url: str) -> Iterator[Raw]:
    """A raw connection, closed on exit."""
    raw = Raw(url)
    try:
        yield raw
    finally:
        raw.close()


def request(line: str, body: bytes | None = None, *fields: str) -> bytes:
    """A request as bytes; if it has a body, with Content-Length."""
    lines = [f"{line} HTTP/1.1", "Host: here", *fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


def post(device: str, *fields: str, target: str = "/record") -> bytes:
    """A request that records one reading."""
    return request(f"POST {target}", b'{"device":"%b","n":1}' % device.encode(), *fields)
