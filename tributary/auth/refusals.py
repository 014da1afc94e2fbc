"""Rejected requests, counted by code and logged from time to time.

A process counts in memory; the guard's thread adds the counts to Redis once per second, so that
every process reports those of the whole deployment. A killed process loses at most the counts of
one second.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import redis
from loguru import logger

from tributary.errors import Refused, TributaryError
from tributary.store import keys
from tributary.store.redis_client import failures

_STATUSES = frozenset((401, 403, 421, 429))
_CODES = frozenset(("too_many_series", "too_many_devices"))
_LOG_EVERY_S = 10.0


def totals(client: redis.Redis) -> dict[str, int]:
    """Requests rejected in the whole deployment, by code."""
    with failures():
        held: Any = client.hgetall(keys.REFUSALS)
    return {code.decode(): int(count) for code, count in held.items()}


class Refusals:
    """The counts of one process. Only Tributary defines codes, so there are few."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._new: Counter[str] = Counter()
        self._not_logged: Counter[str] = Counter()
        self._logged_at_s = 0.0

    def note(self, refusal: Refused) -> None:
        """Count a rejection that is due to the client: 401, 403, 421, 429, a cap."""
        if refusal.status in _STATUSES or refusal.code in _CODES:
            with self._lock:
                self._new[refusal.code] += 1
                self._not_logged[refusal.code] += 1

    def flush(self, client: redis.Redis) -> None:
        """Add new counts to Redis, or keep them if it fails; log at most every ten seconds."""
        self._log()
        with self._lock:
            new, self._new = self._new, Counter()
        if not new:
            return
        try:
            with failures():
                pipeline = client.pipeline(transaction=False)
                for code, count in new.items():
                    pipeline.hincrby(keys.REFUSALS, code, count)
                pipeline.execute()
        except TributaryError:
            with self._lock:
                self._new += new
            raise

    def _log(self) -> None:
        now_s = time.monotonic()
        if not self._not_logged or now_s - self._logged_at_s < _LOG_EVERY_S:
            return
        with self._lock:
            counts, self._not_logged = dict(self._not_logged), Counter()
        self._logged_at_s = now_s
        logger.bind(action="refused", **counts).warning("requests rejected")


REFUSALS = Refusals()
