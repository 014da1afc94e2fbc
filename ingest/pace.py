"""When the requests of the event loop are sent to Redis.

What arrives in one tick is sent together. While Redis has not replied to the last two flushes,
requests gather: under load more of them share a frame, a script call and a wake-up of Redis. An
idle server never waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

GATHER_MAX_S = 0.001  # a server that is slow, or far away, does not delay requests for longer
# With one, the lane idles during each round trip; see docs/decisions/0004-the-lane.md.
_IN_FLIGHT_MAX = 2  # flushes


class Flush:
    """The commands that were sent together."""

    __slots__ = ("pending",)

    def __init__(self, commands: int) -> None:
        self.pending = commands


class Pace:
    """Calls `flush` once for the requests of a tick, or of several.

    Args:
        flush: sends the requests; it calls `sent`, and the replies call `replied`.
    """

    __slots__ = ("_flush", "_in_flight", "_timer", "is_due")

    def __init__(self, flush: Callable[[], None]) -> None:
        self.is_due = False  # `flush` will be called
        self._flush = flush
        self._in_flight = 0  # flushes
        self._timer: asyncio.TimerHandle | None = None

    def plan(self) -> None:
        """Call `flush` at the end of this tick, or when Redis has replied to earlier ones."""
        if self.is_due:
            return
        self.is_due = True
        loop = asyncio.get_running_loop()
        if self._in_flight >= _IN_FLIGHT_MAX:
            self._timer = loop.call_later(GATHER_MAX_S, self._end)
        else:
            loop.call_soon(self._end)

    def sent(self, commands: int) -> Flush:
        """Note that a flush sends commands, if any; `replied` gets what it returns."""
        if commands:  # else every request was rejected, or is being looked up
            self._in_flight += 1
        return Flush(commands)

    def replied(self, flush: Flush) -> None:
        """Note the reply to one command of a flush."""
        flush.pending -= 1
        if flush.pending:
            return
        self._in_flight -= 1
        if self._timer is not None and self._in_flight < _IN_FLIGHT_MAX:
            self._timer.cancel()
            self._timer = None
            asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        self.is_due = False
        self._timer = None
        self._flush()
