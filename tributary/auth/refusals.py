"""Rejected requests, counted by code and logged from time to time."""

from __future__ import annotations

import threading
import time
from collections import Counter

import redis
from loguru import logger

from tributary.errors import Refused
from tributary.store import counts, keys
from tributary.store.counts import Counts

_STATUSES = frozenset((401, 403, 421, 429))
_CODES = frozenset(("too_many_series", "too_many_devices"))
_LOG_EVERY_S = 10.0


def totals(client: redis.Redis) -> dict[str, int]:
    """Requests rejected in the whole deployment, by code."""
    return counts.totals(client, keys.REFUSALS)


class Refusals:
    """The counts of one process. Only Tributary defines codes, so there are few."""

    def __init__(self) -> None:
        self._counts = Counts(keys.REFUSALS)
        self._lock = threading.Lock()
        self._not_logged: Counter[str] = Counter()
        self._logged_at_s = 0.0

    def note(self, refusal: Refused) -> None:
        """Count a rejection that is due to the client: 401, 403, 421, 429, a cap."""
        if refusal.status in _STATUSES or refusal.code in _CODES:
            self._counts.add(refusal.code)
            with self._lock:
                self._not_logged[refusal.code] += 1

    def flush(self, client: redis.Redis) -> None:
        """Add new counts to Redis, or keep them if it fails; log at most every ten seconds."""
        self._log()
        self._counts.flush(client)

    def _log(self) -> None:
        now_s = time.monotonic()
        if not self._not_logged or now_s - self._logged_at_s < _LOG_EVERY_S:
            return
        with self._lock:
            counts, self._not_logged = dict(self._not_logged), Counter()
        self._logged_at_s = now_s
        logger.bind(action="refused", **counts).warning("requests rejected")


REFUSALS = Refusals()
