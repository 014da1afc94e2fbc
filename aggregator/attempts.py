"""Finding the entry that ends the process: what is tried, and how often, is recorded in Redis. Pure.

A worker that finds entries which another process has read and not committed records them
before it applies them. If that process ends as well, the next one finds the record, tries an
eighth of the entries, down to one alone, and in the end that one is buried. A record counts
only if the process that made it has ended, by its heartbeats: a lost connection, a full server
or a partition that changes hands says nothing about an entry. So kills from outside must hit
the few milliseconds of one and the same entry eight times in a row to bury a good one.
"""

from __future__ import annotations

from typing import NamedTuple

from aggregator.parts import ATTEMPTS

_FEWER = 8


class Attempt(NamedTuple):
    """The first of some entries, how many they are, and which attempt it is if it is one."""

    id: bytes
    entries: int
    number: int
    worker: bytes  # the process that tries; random per start

    @classmethod
    def parse(cls, field: bytes | None) -> Attempt | None:
        """From the field `attempt` of `meta`."""
        if not field:
            return None
        id_, entries, number, worker = field.split()
        return cls(id_, int(entries), int(number), worker)

    def packed(self) -> bytes:
        """The field `attempt` of `meta`."""
        return b"%b %d %d %b" % self

    @property
    def is_hopeless(self) -> bool:
        """Whether the entry has ended the process often enough."""
        return self.number > ATTEMPTS


def following(found: Attempt | None, id_: bytes, entries: int, worker: bytes) -> Attempt:
    """What to try of entries that begin with `id_`, after the attempt that was found, if any."""
    if found is None or found.id != id_:
        return Attempt(id_, entries, 1, worker)
    entries = min(entries, found.entries)
    if found.worker == worker:
        return Attempt(id_, entries, found.number, worker)
    if found.entries == 1:
        return Attempt(id_, 1, found.number + 1, worker)
    return Attempt(id_, max(1, entries // _FEWER), 1, worker)
