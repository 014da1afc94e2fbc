"""Finding the entry that cannot be applied among those that can. Pure.

A frame that does not decode is dead at once: decoding it again will not help. One that decodes
and fails in the fold is a bug in Tributary, which may depend on what is in memory. It gets
several attempts, each from the state in Redis, one per turn so that they delay nothing else.
"""

from __future__ import annotations

from aggregator.decode import Entry

ATTEMPTS = 5
# What computing with received bytes can raise. Anything else ends the process; so does
# MemoryError, which is not caused by the entry at hand and must not bury it.
FAILURES = (ArithmeticError, LookupError, TypeError, ValueError)


class Parts:
    """Entries in order, split into parts: a part that fails is halved, down to one entry.

    Finding one bad entry among a thousand takes about twenty parts.
    """

    def __init__(self, entries: list[Entry]) -> None:
        self._parts = [entries]
        self._sizes_bytes = [size_bytes(entries)]
        self._failures = 0

    def __bool__(self) -> bool:
        """Whether any entry is left."""
        return bool(self._parts)

    @property
    def size_bytes(self) -> int:
        """Size of the frames that are left."""
        return sum(self._sizes_bytes)

    @property
    def next(self) -> list[Entry]:
        """The oldest part that is left."""
        return self._parts[-1]

    @property
    def next_bytes(self) -> int:
        """Size of its frames."""
        return self._sizes_bytes[-1]

    def take(self, count: int) -> list[Entry]:
        """Split the first entries off the oldest part, and return them."""
        part = self._parts[-1]
        if count < len(part):
            taken = part[:count]
            taken_bytes = size_bytes(taken)
            self._parts[-1:] = [part[count:], taken]
            self._sizes_bytes[-1:] = [self._sizes_bytes[-1] - taken_bytes, taken_bytes]
        return self._parts[-1]

    def progressed(self) -> None:
        """A slice of the only entry of the oldest part was applied."""
        self._failures = 0

    def done(self) -> None:
        """Remove the oldest part: it was applied or buried."""
        self._parts.pop()
        self._sizes_bytes.pop()
        self._failures = 0

    def failed(self) -> bool:
        """The oldest part has failed; return whether it is one entry that failed `ATTEMPTS` times."""
        part = self._parts[-1]
        if len(part) > 1:
            self.take(len(part) // 2)
            return False
        self._failures += 1
        return self._failures == ATTEMPTS


def size_bytes(entries: list[Entry]) -> int:
    """Size of the frames of entries; of one that was trimmed, nothing is left."""
    return sum([len(fields[-1]) for _, fields in entries if fields])
