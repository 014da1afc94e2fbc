"""Accepted requests, by door."""

from __future__ import annotations

import threading
from collections import Counter

import redis

from ingest.doors.door import Door
from tributary.auth.guard import Guard
from tributary.store import keys
from tributary.store.counts import Counts


class Accepted:
    """The counts of one front end of a process: of the lane, or of Flask."""

    def __init__(self, guard: Guard) -> None:
        self._on_loop: Counter[Door] = Counter()
        self._taken: Counter[Door] = Counter()  # what `_counts` has of it
        self._counts = Counts(keys.REQUESTS)
        self._lock = threading.Lock()
        guard.every_second(self._flush)

    def add(self, door: Door) -> None:
        """Count a request, on any thread."""
        self._counts.add(door.name)

    def add_on_loop(self, door: Door, requests: int = 1) -> None:
        """Count requests, on the event loop only. Fast code: no lock, and no call per request."""
        self._on_loop[door] += requests

    def _flush(self, client: redis.Redis) -> None:
        with self._lock:
            now = self._on_loop.copy()
            for door, count in (now - self._taken).items():
                self._counts.add(door.name, count)
            self._taken = now
        self._counts.flush(client)
