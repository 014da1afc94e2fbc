"""What one read of a partition has brought, taken piece by piece."""

from __future__ import annotations

from aggregator.account import Entry, Sorted, bury, bury_rest, sort_out
from aggregator.attempts import Attempt
from aggregator.changes import Changes
from aggregator.large import Large
from aggregator.parts import Parts
from aggregator.tenure import Tenure


class Work:
    """The entries of one read that are not applied yet, in order."""

    def __init__(self, tenure: Tenure, entries: list[Entry], *, is_recovered: bool) -> None:
        """`is_recovered`: another process has read these entries and has not committed them."""
        self.tenure = tenure
        self.parts = Parts(entries)
        self.is_recovered = is_recovered
        self.alone = len(entries) if is_recovered else 0  # entries to apply apart from the rest
        self.size_bytes = sum(map(_size_bytes, entries))  # of what is left
        self.taken_bytes = 0  # of what was taken last
        self._large: Large | None = None
        self._attempted = len(entries)  # at most so many at once, of recovered ones

    @property
    def is_left(self) -> bool:
        """Whether there is something to apply, for a tenure that goes on."""
        return bool(self.parts) and not self.tenure.is_over

    def next(self, bytes_max: int) -> Sorted:
        """The oldest entries that fit, at least one, or the next slice of a large one."""
        part, counts = self.parts.next, self.tenure.counts
        if self.size_bytes > bytes_max:
            part = self.parts.take(_fitting(part, bytes_max))
        self.taken_bytes = sum(map(_size_bytes, part))
        first = part[0]
        if self._large is None:
            self._large = self._begun(first, bytes_max)
        if self._large is not None:
            self.parts.take(1)
            self.taken_bytes = min(_size_bytes(first), bytes_max)
            return self._large.next(bytes_max, counts)
        return sort_out(part, counts)

    async def attempt(self) -> Attempt:
        """Record in Redis what is going to be tried."""
        part = self.parts.next
        wanted = min(len(part), self._attempted)
        attempt = await self.tenure.attempt(part[0][0], wanted)
        self.parts.take(attempt.entries)
        self._attempted = attempt.entries * 2
        return attempt

    def failed(self) -> bool:
        """The oldest part has failed in the fold; whether it is one entry, often enough."""
        if self.alone == 0:
            self.alone = len(self.parts.next)
            return False
        return self.parts.failed()

    def buried(self, reason: str) -> Sorted:
        """The oldest entry as one that is dead; of a large one, what is not applied of it."""
        entry, counts = self.parts.take(1)[0], self.tenure.counts
        if self._large is None or self._large.progress.readings == 0:
            self._large = None
            return bury(entry, counts, reason)
        applied, rest = self._large.progress, self._large.rest()
        self._large = None
        return bury_rest(entry, counts, reason, applied, rest)

    def commit(self, change: Changes) -> None:
        """Send what was applied or buried, and with the last of it the next read."""
        if change.progress is None:
            self._large = None
            done = self.parts.next
            self.alone = max(0, self.alone - len(done))
            self.size_bytes -= sum(map(_size_bytes, done))
            self.parts.done()
        elif self._large is not None:
            self._large.progress = change.progress
            self.parts.progressed()
        (self.tenure.commit_part if self.parts else self.tenure.commit)(change)

    def _begun(self, entry: Entry, bytes_max: int) -> Large | None:
        """The entry as a large one, if it is one or has been begun as one."""
        progress = self.tenure.progress
        if progress is not None and progress.id != entry[0]:
            progress = None  # of an entry further on, or one that is done
        if progress is None and _size_bytes(entry) <= bytes_max:
            return None
        whole = sort_out([entry], self.tenure.counts)
        if whole.columns is None or (progress is None and whole.columns.readings == 1):
            return None
        return Large(entry, whole, progress)


def _size_bytes(entry: Entry) -> int:
    return len(entry[1][-1]) if entry[1] else 0


def _fitting(entries: list[Entry], bytes_max: int) -> int:
    """How many of the first entries fit, at least one."""
    size_bytes = 0
    for number, entry in enumerate(entries):
        size_bytes += _size_bytes(entry)
        if size_bytes > bytes_max:
            return max(1, number)
    return len(entries)
