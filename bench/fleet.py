"""Records each device of a fleet once, so that a measurement has no device that joins."""

from __future__ import annotations

import http.client
import time
from http import HTTPStatus
from urllib.parse import urlsplit

from bench.http_request import NUMBER
from bench.peers.payloads import FLEET

_ARRAY = 500
_TIMEOUT_S = 60.0
_PAUSE_S = 0.05


def join(url: str, devices: int) -> None:
    """Record each device once; new ones are accepted at a limited rate."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    for first in range(0, devices, _ARRAY):
        numbers = range(first, min(devices, first + _ARRAY))
        readings = b",".join(FLEET.replace(NUMBER, b"%05d" % number) for number in numbers)
        repeated(connection, "POST", "/record", b"[%b]" % readings)
    connection.close()


def repeated(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None
) -> None:
    """Repeat a request until its response is 200."""
    until_s = time.monotonic() + _TIMEOUT_S
    while True:
        connection.request(method, path, body)
        response = connection.getresponse()
        text = response.read()
        if response.status == HTTPStatus.OK:
            return
        if time.monotonic() > until_s:
            raise SystemExit(f"bench: {method} {path} got {response.status}: {text.decode()}")
        time.sleep(_PAUSE_S)
