"""Counts of messages by outcome, and a bounded log of refused ones."""

from __future__ import annotations

import time
from collections import Counter

from loguru import logger

from bridge.message import Message
from tributary.errors import Refused
from tributary.store import counts, keys

_LOG_INTERVAL_S = 10.0  # per code


class Counts(counts.Counts):
    """`received`, `stored`, `duplicate`, `retried`, `ignored:…` and `refused:…`."""

    def __init__(self) -> None:
        super().__init__(keys.MESSAGES)
        self._logged_at_s: dict[str, float] = {}  # by code; only Tributary defines codes
        self._not_logged: Counter[str] = Counter()

    def refused(self, message: Message, refusal: Refused) -> None:
        """Count a message that can never be stored; log one per code and ten seconds."""
        code = refusal.code
        self.add(f"refused:{code}")
        self._not_logged[code] += 1
        now_s = time.monotonic()
        if now_s - self._logged_at_s.get(code, -_LOG_INTERVAL_S) < _LOG_INTERVAL_S:
            return
        self._logged_at_s[code] = now_s
        log = logger.bind(
            action="message_refused",
            code=code,
            count=self._not_logged.pop(code),
            topic=message.topic[:200],
            reason=refusal.message,
        )
        log.warning("message refused")
