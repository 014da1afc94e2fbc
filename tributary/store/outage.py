"""Logs an outage once when it begins, and once when it ends, with its length."""

from __future__ import annotations

import time
from collections.abc import Callable

from loguru import logger


class Outage:
    """Whether a dependency is unavailable to this process."""

    def __init__(self, of: str, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._of = of
        self._clock_s = clock_s
        self._began_at_s: float | None = None

    @property
    def is_on(self) -> bool:
        """Whether it is unavailable now."""
        return self._began_at_s is not None

    def begin(self, reason: object) -> None:
        """It is unavailable; only the first call is logged."""
        if self._began_at_s is None:
            self._began_at_s = self._clock_s()
            log = logger.bind(action="outage_began", of=self._of, reason=str(reason))
            log.error("outage began")

    def end(self) -> None:
        """It is available again."""
        if self._began_at_s is not None:
            lasted_s = self._clock_s() - self._began_at_s
            self._began_at_s = None
            log = logger.bind(action="outage_ended", of=self._of, lasted_s=round(lasted_s, 3))
            log.info("outage ended")
