"""The status of the deployment, asked of Redis at most once a second however many look."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import redis

from tributary.operate import status
from tributary.operate.status import Status
from tributary.settings import Settings

_FRESH_S = 1.0


class Snapshot:
    """The last status and its age. Safe to share between threads."""

    def __init__(
        self,
        client: redis.Redis,
        settings: Settings,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._settings = settings
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._held: Status | None = None
        self._as_of_s = float("-inf")

    def read(self) -> Status:
        """The status, at most a second old.

        Raises:
            Unavailable: the server cannot answer now.
        """
        with self._lock:
            if self._held is None or self._clock_s() - self._as_of_s >= _FRESH_S:
                self._held = status.read(self._client, self._settings)
                self._as_of_s = self._clock_s()
            return self._held
