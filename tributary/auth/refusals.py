"""Error responses, counted by status, code and door, and logged from time to time.

A line of the log has the counts since the last one, and one of the rejected credentials as an
example: its message names a token by its id, never by its secret. Other messages may contain what
a client sent, so they are not logged.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import NamedTuple

import redis
from loguru import logger

from tributary.log import REQUEST_ID
from tributary.store import counts, keys
from tributary.store.counts import Counts

API = "api"  # the door of routes that no door of `ingest` serves
HTTP = "http"  # the same, of requests that reached no route
_OF_CREDENTIALS = frozenset((401, 403, 421, 429))
# Unknown paths and devices are mostly harmless; an outage is logged when it begins and ends.
_NOT_LOGGED = frozenset((404, 405, 500))
_LOG_EVERY_S = 10.0


class Refusal(NamedTuple):
    """What is counted; earlier releases counted the code only."""

    status: str
    code: str
    door: str


def totals(client: redis.Redis) -> dict[Refusal, int]:
    """Error responses of the whole deployment."""
    found = counts.totals(client, keys.REFUSALS)
    return {_parsed(field): count for field, count in found.items()}


def _parsed(field: str) -> Refusal:
    status, _, rest = field.partition(" ")
    code, _, door = rest.partition(" ")
    return Refusal(status, code, door) if door else Refusal("", field, "")


class Refusals:
    """The counts of one process. Only Tributary defines codes and doors, so there are few."""

    def __init__(self) -> None:
        self._counts = Counts(keys.REFUSALS)
        self._lock = threading.Lock()
        self._not_logged: Counter[str] = Counter()
        self._example = ("", "")  # and the id of its request
        self._logged_at_s = -_LOG_EVERY_S

    def note(self, status: int, code: str, door: str, message: str, requests: int = 1) -> None:
        """Count requests that get an error response."""
        self._counts.add(f"{status} {code} {door}", requests)
        if status in _NOT_LOGGED or code == "unavailable":
            return
        with self._lock:
            self._not_logged[code] += requests
            if status in _OF_CREDENTIALS:
                self._example = (f"{status} at {door}: {message}", REQUEST_ID.get())

    def flush(self, client: redis.Redis) -> None:
        """Add new counts to Redis, or keep them if it fails; log at most every ten seconds."""
        self._log()
        self._counts.flush(client)

    def _log(self) -> None:
        now_s = time.monotonic()
        if not self._not_logged or now_s - self._logged_at_s < _LOG_EVERY_S:
            return
        with self._lock:
            found, self._not_logged = dict(self._not_logged), Counter()
            (example, request_id), self._example = self._example, ("", "")
        self._logged_at_s = now_s
        extra = {"example": example, "request_id": request_id} if example else {}
        logger.bind(action="refused", **found, **extra).warning("requests rejected")


REFUSALS = Refusals()
