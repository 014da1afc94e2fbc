"""Caches the status of the deployment for a second, however many clients read it."""

from __future__ import annotations

import threading
import time

import redis

from tributary.operate import status
from tributary.operate.status import Status
from tributary.settings import Settings

_FRESH_S = 1.0


class Snapshot:
    """The cached status. Thread-safe."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._lock = threading.Lock()
        self._status: Status | None = None
        self._read_at_s = 0.0

    def read(self) -> Status:
        """The status, at most a second old.

        Raises:
            Unavailable: Redis cannot reply now.
        """
        with self._lock:
            if self._status is None or time.monotonic() - self._read_at_s >= _FRESH_S:
                self._status = status.read(self._client, self._settings)
                self._read_at_s = time.monotonic()
            return self._status
