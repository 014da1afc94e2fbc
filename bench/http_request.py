"""One request of a measurement, and asking it once to see that it does what it should."""

from __future__ import annotations

import http.client
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

_PATIENCE_S = 30.0


class Request(NamedTuple):
    """What is sent over and over, and what its answer must be.

    With `numbers`, each request has another of the numbers 0 … `numbers` - 1 at the end of
    its path. `readings` says how many readings one request carries.
    """

    method: str
    path: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    status: int = HTTPStatus.OK
    holds: bytes = b""
    readings: int = 1
    numbers: int = 0


def ask(url: str, request: Request) -> tuple[int, bytes]:
    """Status and body of the answer to one request."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_PATIENCE_S)
    path = request.path + ("0" if request.numbers else "")
    try:
        connection.request(request.method, path, request.body or None, dict(request.headers))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def check(url: str, request: Request) -> None:
    """Ask once; SystemExit if the answer is not the one that is to be measured.

    Some servers answer 200 whatever happened, so that a rate alone proves nothing.
    """
    status, body = ask(url, request)
    if status != request.status or request.holds not in body:
        raise SystemExit(
            f"bench: {request.method} {url}{request.path} was answered {status} {body[:300]!r}; "
            f"{request.status} with {request.holds!r} is what can be measured"
        )


def answers(url: str) -> bool:
    """Whether anything is answered at all."""
    try:
        ask(url, Request("GET", "/"))
    except (OSError, http.client.HTTPException):
        return False
    return True
