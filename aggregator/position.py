"""The last entry that a tenure has read, and whether others follow it. Pure."""

from __future__ import annotations

from aggregator.account import Counts
from aggregator.decode import Entry
from aggregator.numbering import numbers
from tributary.store.tombstone import parts_of

_NOT_NUMBERED = -1  # append did not write the entry


class Position:
    """At first `hwm`; `delivered` is the last entry that an earlier owner has read, if known."""

    def __init__(self, counts: Counts, delivered: bytes = b"") -> None:
        self.id = counts.hwm.encode()
        self.number = counts.done_entries
        self._delivered = parts_of(delivered.decode()) if delivered else None

    def is_followed_by(self, entry: Entry) -> bool:
        """Whether an entry has the next number; if not, the stream may have others in between."""
        found = numbers(entry[1])
        return found is not None and found[0] == self.number + 1

    def is_behind(self, entry: Entry) -> bool:
        """Whether an entry was read before."""
        return parts_of(entry[0].decode()) <= parts_of(self.id.decode())

    def move(self, entries: list[Entry]) -> int:
        """Move to the last of these entries; how many of them an earlier owner has read, too."""
        self.id, fields = entries[-1]
        self.number = (numbers(fields) or (_NOT_NUMBERED,))[0]
        if self._delivered is None:
            return 0
        recovered = sum(parts_of(id_.decode()) <= self._delivered for id_, _ in entries)
        if recovered < len(entries):
            self._delivered = None
        return recovered
