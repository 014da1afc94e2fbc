"""Accepted requests, by door."""

from __future__ import annotations

import threading
from collections import defaultdict

import redis

from ingest.doors.door import Door
from tributary.auth.guard import Guard
from tributary.store import keys
from tributary.store.counts import Counts


class Accepted:
    """The counts of one front end of a process: of the lane, or of Flask.

    Fast code: the lane adds to `on_loop`, once per frame, without a call or a lock.
    """

    def __init__(self, guard: Guard) -> None:
        self.on_loop: defaultdict[Door, int] = defaultdict(int)  # only the event loop changes it
        self._taken: dict[Door, int] = {}  # what `_counts` has of it
        self._counts = Counts(keys.REQUESTS)
        self._lock = threading.Lock()
        guard.every_second(self._flush)

    def add(self, door: Door) -> None:
        """Count a request, on any thread."""
        self._counts.add(door.name)

    def _flush(self, client: redis.Redis) -> None:
        with self._lock:
            now = dict(self.on_loop)
            for door, count in now.items():
                if added := count - self._taken.get(door, 0):
                    self._counts.add(door.name, added)
            self._taken = now
        self._counts.flush(client)
