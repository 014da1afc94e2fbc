"""The commits of a tenure that Redis has not confirmed yet."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from aggregator.timings import Timings

_COMMITS_MAX = 2  # a slow server is not sent more and more


class _Sent(NamedTuple):
    confirmed: asyncio.Future[None]
    ids: Sequence[bytes]  # of the entries
    at_s: float


class Unconfirmed:
    """Confirmed in the order in which they were sent."""

    def __init__(self, timings: Timings) -> None:
        self._timings = timings
        self._loop = asyncio.get_running_loop()
        self._sent: deque[_Sent] = deque()

    @property
    def is_full(self) -> bool:
        """Whether no other commit may be sent now."""
        return len(self._sent) >= _COMMITS_MAX

    def add(self, ids: Sequence[bytes]) -> None:
        """Add a commit that is sent now."""
        self._sent.append(_Sent(self._loop.create_future(), ids, time.monotonic()))

    def confirm(self, *, is_ok: bool) -> None:
        """Remove the oldest one, whose reply has arrived."""
        if self._sent:
            sent = self._sent.popleft()
            _resolve(sent.confirmed)
            if is_ok:
                self._timings.committed(time.monotonic() - sent.at_s, sent.ids)

    def clear(self) -> None:
        """Remove all: nothing more is confirmed."""
        while self._sent:
            _resolve(self._sent.popleft().confirmed)

    async def wait(self) -> None:
        """Wait until none is left of those sent before."""
        if self._sent:
            await self._sent[-1].confirmed


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
