"""When the requests of the event loop are sent to Redis.

What arrives in one tick is sent together. While Redis has not replied to what was sent before,
requests gather: under load more of them share a frame, a script call and a wake-up of Redis. An
idle server never waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

GATHER_MAX_S = 0.001  # a server that is slow, or far away, does not delay requests for longer


class Pace:
    """Calls `flush` once for the requests of a tick, or of several.

    Args:
        flush: sends the requests; it calls `sent`, and the replies call `replied`.
    """

    __slots__ = ("_flush", "_flushes", "_pending", "_timer", "is_due")

    def __init__(self, flush: Callable[[], None]) -> None:
        self.is_due = False  # `flush` will be called
        self._flush = flush
        self._flushes = 0
        self._pending = 0  # replies to the last flush
        self._timer: asyncio.TimerHandle | None = None

    def plan(self) -> None:
        """Call `flush` at the end of this tick, or once the last flush has been replied to."""
        if self.is_due:
            return
        self.is_due = True
        loop = asyncio.get_running_loop()
        if self._pending:
            self._timer = loop.call_later(GATHER_MAX_S, self._end)
        else:
            loop.call_soon(self._end)

    def sent(self, commands: int) -> int:
        """Note that a flush sends commands; returns its number."""
        self._flushes += 1
        self._pending = commands
        return self._flushes

    def replied(self, flush: int) -> None:
        """Note the reply to one command of a flush; only those of the last one are waited for."""
        if flush != self._flushes:
            return
        self._pending -= 1
        if self._pending == 0 and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        self.is_due = False
        self._timer = None
        self._flush()
