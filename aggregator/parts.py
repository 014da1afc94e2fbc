"""Finding the entry that cannot be applied among those that can. Pure.

A frame that does not decode is dead at once: no second look makes it better. One that decodes
and still fails in the fold is a fault of ours, which may depend on what is in memory; it is
given several attempts, each from what Redis holds, and nobody waits for them for long.
"""

from __future__ import annotations

from aggregator.account import Entry

ATTEMPTS = 5
# What computing with somebody's bytes can raise. Anything else ends the process; so does want of
# memory, which says nothing about the entry at hand, and must not bury it.
FAILURES = (ArithmeticError, LookupError, TypeError, ValueError)


class Parts:
    """Entries in order, cut into parts: a part that fails is halved, down to one entry.

    With one bad entry among a thousand, some twenty parts are tried.
    """

    def __init__(self, entries: list[Entry]) -> None:
        self._parts = [entries]
        self._failures = 0

    def __bool__(self) -> bool:
        """Whether something is left."""
        return bool(self._parts)

    @property
    def next(self) -> list[Entry]:
        """The oldest part that is left."""
        return self._parts[-1]

    def take(self, count: int) -> list[Entry]:
        """Make the first entries of the oldest part a part of their own."""
        part = self._parts[-1]
        if count < len(part):
            self._parts[-1:] = [part[count:], part[:count]]
        return self._parts[-1]

    def progressed(self) -> None:
        """A slice of the one entry of the oldest part is applied."""
        self._failures = 0

    def done(self) -> None:
        """The oldest part is dealt with."""
        self._parts.pop()
        self._failures = 0

    def failed(self) -> bool:
        """The oldest part has failed; whether it is one entry that has done so often enough."""
        part = self._parts[-1]
        if len(part) > 1:
            middle = len(part) // 2
            self._parts[-1:] = [part[middle:], part[:middle]]
            return False
        self._failures += 1
        return self._failures == ATTEMPTS
