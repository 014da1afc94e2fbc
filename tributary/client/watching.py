"""Readings as they are pushed: server-sent events read line by line, over and over.

A connection that ends is opened again with the id of the last event, so that the server sends
only what is new.
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
    """The readings of a subscription; iterate over it once.

    Args:
        endpoint: whom to ask.
        fields: the query, like `[("device", "car-7")]`.
        patience_s: how long the server may stay away at a time.
        clock_s: monotonic.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        fields: list[tuple[str, str]],
        patience_s: float,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint = endpoint
        self._fields = fields
        self._patience_s = patience_s
        self._clock_s = clock_s
        self._last_id = ""
        self._heard_s = clock_s()
        self._attempt = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """What `/collect` answers, each time it has become something else.

        Raises:
            Unavailable: the server stayed away longer than patience lasts.
            Refused: it says no for good.
        """
        while True:
            fault = "the connection ended"
            try:
                yield from self._listen()
            except (urllib3.exceptions.HTTPError, Unavailable) as error:
                fault = str(error)
            wait_s = pause_s(self._attempt)
            self._attempt += 1
            if self._clock_s() + wait_s > self._heard_s + self._patience_s:
                raise Unavailable(f"{self._endpoint.url}: {fault}")
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
            self._heard_s, self._attempt = self._clock_s(), 0
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield line.decode()


def events(lines: Iterable[str]) -> Iterator[Event]:
    """The events that lines make up; comments and what is incomplete are left out."""
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
