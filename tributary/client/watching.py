"""Live updates: reads server-sent events, and reconnects.

A new connection sends the id of the last event, so the server sends only newer ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
import urllib3

from tributary.client.endpoint import Endpoint, pause_s
from tributary.errors import Unavailable

PATH = "/api/v1/live"
_READING = "reading"


class Event(NamedTuple):
    """One server-sent event."""

    type: str
    id: str
    data: str


class Watching:
    """The updates of a subscription; iterate over it once.

    Args:
        endpoint: the server.
        fields: the query, like `[("device", "car-7")]`.
        retry_for_s: how long to retry while the server is unavailable.
        clock_s: monotonic clock.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        fields: list[tuple[str, str]],
        retry_for_s: float,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint = endpoint
        self._fields = fields
        self._retry_for_s = retry_for_s
        self._clock_s = clock_s
        self._last_id = ""
        self._received_s = clock_s()
        self._attempt = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the response of `/collect` whenever it changes.

        Raises:
            Unavailable: the server was unavailable for longer than `retry_for_s`.
            Refused: the server rejected the request.
        """
        while True:
            problem = "the connection ended"
            try:
                yield from self._listen()
            except (urllib3.exceptions.HTTPError, Unavailable) as error:
                problem = str(error)
            wait_s = pause_s(self._attempt)
            self._attempt += 1
            if self._clock_s() + wait_s > self._received_s + self._retry_for_s:
                raise Unavailable(f"{self._endpoint.url}: {problem}")
            time.sleep(wait_s)

    def _listen(self) -> Iterator[dict[str, Any]]:
        response = self._endpoint.stream(PATH, self._fields, self._last_id)
        try:
            for event in events(self._lines(response)):
                self._last_id = event.id
                if event.type == _READING:
                    yield msgspec.json.decode(event.data)
        finally:
            response.close()

    def _lines(self, response: urllib3.BaseHTTPResponse) -> Iterator[str]:
        rest = b""
        for piece in response.stream():
            self._received_s, self._attempt = self._clock_s(), 0
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield line.decode()


def events(lines: Iterable[str]) -> Iterator[Event]:
    """Parse lines into events; comments and incomplete events are skipped."""
    id_, type_ = "", "message"
    data: list[str] = []
    for line in lines:
        if not line and data:
            yield Event(type_, id_, "\n".join(data))
        if not line:
            type_, data = "message", []
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "id":
            id_ = value
        elif field == "event":
            type_ = value
        elif field == "data":
            data.append(value)
