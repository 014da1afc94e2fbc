"""Finding the entry that crashes the process: each attempt is recorded in Redis. Pure.

A worker that finds entries which another process has read and not committed records them
before it applies them. If it crashes too, the next worker finds the record and tries an eighth
of the entries, down to a single one, which is buried in the end. A record counts only if the
heartbeats of its process have stopped: a lost connection, a full server or a partition that
changes owners does not incriminate an entry. To bury a good entry, kills from outside would
have to hit the few milliseconds in which it is applied many times in a row.
"""

from __future__ import annotations

from typing import NamedTuple

from aggregator.parts import ATTEMPTS

_FEWER = 8


class Attempt(NamedTuple):
    """The first of some entries, their number, and for a single entry the number of the attempt."""

    id: bytes
    entries: int
    number: int
    worker: bytes  # id of the process, random per start

    @classmethod
    def parse(cls, field: bytes | None) -> Attempt | None:
        """Parse the field `attempt` of `meta`."""
        if not field:
            return None
        id_, entries, number, worker = field.split()
        return cls(id_, int(entries), int(number), worker)

    def packed(self) -> bytes:
        """The field `attempt` of `meta`."""
        return b"%b %d %d %b" % self

    @property
    def is_hopeless(self) -> bool:
        """Whether the entry has crashed a process `ATTEMPTS` times."""
        return self.number > ATTEMPTS


def following(found: Attempt | None, id_: bytes, entries: int, worker: bytes) -> Attempt:
    """The next attempt at entries that begin with `id_`, after the recorded one, if any."""
    if found is None or found.id != id_:
        return Attempt(id_, entries, 1, worker)
    entries = min(entries, found.entries)
    if found.worker == worker:
        return Attempt(id_, entries, found.number, worker)
    if found.entries == 1:
        return Attempt(id_, 1, found.number + 1, worker)
    return Attempt(id_, max(1, entries // _FEWER), 1, worker)
