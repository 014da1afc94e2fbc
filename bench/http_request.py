"""The request of a measurement, and a check of its response before measuring."""

from __future__ import annotations

import http.client
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

NUMBER = b"@@@@@"
_TIMEOUT_S = 30.0


class Request(NamedTuple):
    """A request, and the response it must get: `status`, and a body that contains `expected`.

    With `numbers`, each request appends a random number below it to its path, or puts it in place
    of `NUMBER` in its body, with five digits. `readings` is the number of readings per request.
    """

    method: str
    path: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    status: int = HTTPStatus.OK
    expected: bytes = b""
    readings: int = 1
    numbers: int = 0


def send(url: str, request: Request) -> tuple[int, bytes]:
    """Send one request; returns status and body of the response."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT_S)
    path = request.path + ("0" if request.numbers and not request.body else "")
    body = request.body.replace(NUMBER, b"00000")
    try:
        connection.request(request.method, path, body or None, dict(request.headers))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def check(url: str, request: Request) -> None:
    """Send one request, because a rate means nothing if the server does not do the work.

    Raises:
        SystemExit: not the expected response.
    """
    status, body = send(url, request)
    if status != request.status or request.expected not in body:
        raise SystemExit(
            f"bench: {request.method} {url}{request.path} got {status} {body[:300]!r}, "
            f"expected {request.status} with {request.expected!r}"
        )


def is_responding(url: str) -> bool:
    """Whether a server responds, with any status."""
    try:
        send(url, Request("GET", "/"))
    except (OSError, http.client.HTTPException):
        return False
    return True
