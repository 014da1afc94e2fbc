"""Finding the entry that crashes the process: each attempt is recorded in Redis. Pure.

A worker that finds entries which another process has read and not committed records them
before it applies them. If it crashes too, the next worker finds the record and tries an eighth
of the entries, down to a single one, which is buried in the end. An attempt counts only while
the heartbeats of its process have stopped, and each process counts once: a lost connection, a
full server or a partition that changes owners again and again does not incriminate an entry.
To bury a good entry, kills from outside would have to hit the few milliseconds in which it is
applied many times in a row.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from aggregator.parts import ATTEMPTS

_FEWER = 8


class Attempt(NamedTuple):
    """The first of some entries, their number, and the processes that have tried to apply them."""

    id: bytes
    entries: int
    workers: tuple[bytes, ...]  # ids, random per start; the last one of several entries

    @classmethod
    def parse(cls, field: bytes | None) -> Attempt | None:
        """Parse the field `attempt` of `meta`."""
        if not field:
            return None
        id_, entries, _, workers = field.split()
        return cls(id_, int(entries), tuple(workers.split(b",")))

    def packed(self) -> bytes:
        """The field `attempt` of `meta`; earlier releases read the number of the attempt in it."""
        return b"%b %d %d %b" % (self.id, self.entries, self.number, b",".join(self.workers))

    def of(self, workers: Collection[str]) -> Attempt:
        """The attempt with only these of its workers."""
        return self._replace(workers=tuple(w for w in self.workers if w.decode() in workers))

    @property
    def number(self) -> int:
        """The number of the attempt."""
        return len(self.workers)

    @property
    def is_hopeless(self) -> bool:
        """Whether the entry has crashed `ATTEMPTS` processes."""
        return self.number > ATTEMPTS


def following(found: Attempt | None, id_: bytes, entries: int, worker: bytes) -> Attempt:
    """The next attempt at entries that begin with `id_`, after the recorded one, if any.

    `found`: with only those of its workers that have ended, and this one.
    """
    if found is None or found.id != id_:
        return Attempt(id_, entries, (worker,))
    ended = tuple(each for each in found.workers if each != worker)
    entries = min(entries, found.entries)
    if found.entries > 1 and ended:
        return Attempt(id_, max(1, entries // _FEWER), (worker,))
    return Attempt(id_, entries, (*ended, worker) if found.entries == 1 else (worker,))
