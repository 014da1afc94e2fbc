"""A deployment that a command looks at from outside."""

from __future__ import annotations

import redis

from tributary.operate import status
from tributary.operate.status import Status
from tributary.settings import Settings
from tributary.store import redis_client, redis_url


class Target:
    """A deployment that is looked at again and again, and may be away at times."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.client: redis.Redis = redis_client.connect(settings)
        self._has_agreed = False

    @property
    def place(self) -> str:
        """The URL, as it may be printed."""
        return redis_url.shown(self.settings.redis_url)

    def status(self) -> Status:
        """Its status, over as many partitions as its data has.

        Raises:
            Unavailable: the server cannot answer now.
        """
        if not self._has_agreed:
            self.settings = status.with_stored_partitions(self.client, self.settings)
            self._has_agreed = True
        return status.read(self.client, self.settings)
