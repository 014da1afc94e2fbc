"""Counts of a process, added to a hash in Redis, so that every process reports the total.

A killed process loses at most what it counted since the last flush.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import redis

from tributary.errors import TributaryError
from tributary.store.redis_client import failures


def totals(client: redis.Redis, key: str) -> dict[str, int]:
    """The counts of the whole deployment, by field of the hash."""
    with failures():
        held: Any = client.hgetall(key)
    return {field.decode(): int(count) for field, count in held.items()}


class Counts:
    """The counts of one process; only Tributary chooses the fields, so there are few."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._lock = threading.Lock()
        self._new: Counter[str] = Counter()

    def add(self, field: str, count: int = 1) -> None:
        """Count something."""
        with self._lock:
            self._new[field] += count

    def flush(self, client: redis.Redis) -> None:
        """Add new counts to Redis, or keep them if it fails."""
        with self._lock:
            new, self._new = self._new, Counter()
        if not new:
            return
        try:
            with failures():
                pipeline = client.pipeline(transaction=False)
                for field, count in new.items():
                    pipeline.hincrby(self._key, field, count)
                pipeline.execute()
        except TributaryError:
            with self._lock:
                self._new += new
            raise
