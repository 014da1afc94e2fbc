"""What one read of a partition has brought, taken piece by piece.

An entry that brings many new series steps aside: the entries behind it are applied first, and
its slices with a part of each turn. So devices that are known do not wait for a fleet that joins. Each partition has at most one entry that is begun; another large one waits for it.
"""

from __future__ import annotations

from aggregator.account import Entry, Progress, Sorted, bury, bury_rest, sort_out
from aggregator.attempts import Attempt
from aggregator.changes import Changes
from aggregator.large import Large
from aggregator.parts import Parts
from aggregator.tenure import Tenure


class Work:
    """The entries of one read that are not applied yet, in order; or one that has stepped aside."""

    def __init__(
        self,
        tenure: Tenure,
        entries: list[Entry],
        *,
        is_recovered: bool = False,
        aside: Large | None = None,
    ) -> None:
        """`is_recovered`: another process has read these entries and has not committed them."""
        self.tenure = tenure
        self.parts = Parts(entries)
        self.is_recovered = is_recovered
        self.is_aside = aside is not None
        self.alone = len(entries) if is_recovered else 0  # entries to apply apart from the rest
        self.size_bytes = sum(map(_size_bytes, entries))  # of what is left
        self.taken_bytes = 0  # of what was taken last
        self.decoded_bytes = 0  # to take it: all of a large one that is begun
        self._large: Large | None = aside
        self._is_stepping_aside = False
        self._attempted = len(entries)  # at most so many at once, of recovered ones

    @property
    def is_left(self) -> bool:
        """Whether there is something to apply, for a tenure that goes on."""
        return bool(self.parts) and not self.tenure.is_over

    @property
    def first_bytes(self) -> int:
        """Of the oldest entry if others were taken with it: it may fit alone; else 0."""
        part = self.parts.next
        return _size_bytes(part[0]) if len(part) > 1 else 0

    def slices(self, readings: int) -> float:
        """How many slices of so many readings are left of an entry; 0: it may not step aside."""
        if self.is_aside or self.alone or readings == 1:
            return 0.0
        if self._large is None:
            may_begin = len(self.parts.next) == 1 and self.tenure.begun_id is None
            return 1.0 if may_begin else 0.0
        return self._large.readings / readings

    def next(self, bytes_max: int, *, may_begin: bool = True) -> Sorted | None:
        """The oldest entries that fit, at least one, or the next slice of a large one.

        None: there is a large one, and it may not begin yet, or another is not finished.
        """
        part, counts = self.parts.next, self.tenure.counts
        self._is_stepping_aside = False
        if self.size_bytes > bytes_max:
            part = self.parts.take(_fitting(part, bytes_max))
        self.taken_bytes = self.decoded_bytes = sum(map(_size_bytes, part))
        if self._large is not None:
            self.decoded_bytes = min(self.decoded_bytes, bytes_max)
        else:
            begun_id = self.tenure.begun_id
            if begun_id == part[0][0]:
                self._large = Large(part[0], self.tenure.progress)
            elif self.taken_bytes > bytes_max:
                if begun_id is not None or not may_begin:
                    self.taken_bytes = self.decoded_bytes = 0
                    return None
                self._large = _sliceable(part[0], sort_out(part, counts))
        if self._large is None:
            return sort_out(part, counts)
        self.parts.take(1)
        self.taken_bytes = min(_size_bytes(part[0]), bytes_max)
        return self._large.next(bytes_max, counts)

    def step_aside(self, taken: Sorted) -> Sorted:
        """Let the entries behind the oldest one pass; `commit` returns it as work of its own.

        `taken`: all of it, or a slice, as `next` gave it.
        """
        if self._large is None:
            self._large = _sliceable(self.parts.next[0], taken)
        if self._large is None:
            return taken
        self._is_stepping_aside = True
        return self._large.passed(self.tenure.counts)

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
        self._large, self._is_stepping_aside = None, False
        if entry[0] != self.tenure.begun_id:
            return bury(entry, counts, reason)
        return bury_rest(entry, counts, reason, Large(entry, self.tenure.progress).rest())

    def commit(self, change: Changes) -> Work | None:
        """Send what was applied or buried, and with the last of it the next read.

        Returns the entry that has stepped aside, as work of its own.
        """
        aside = None
        if change.progress is not None and self._large is not None:
            self._large.committed(change.progress)
            self.parts.progressed()
        if self._is_stepping_aside:
            aside = Work(self.tenure, self.parts.next, aside=self._large)
        if change.progress is None or aside is not None:
            self._large = None
            done = self.parts.next
            self.alone = max(0, self.alone - len(done))
            self.size_bytes -= sum(map(_size_bytes, done))
            self.parts.done()
        # The next read of the partition hangs on what was read, not on what has stepped aside.
        (self.tenure.commit_part if self.parts or self.is_aside else self.tenure.commit)(change)
        self._is_stepping_aside = False
        return aside


def _sliceable(entry: Entry, whole: Sorted) -> Large | None:
    """The entry as a large one, unless it cannot be sliced; `whole`: as if applied at once."""
    if whole.columns is None or whole.columns.readings == 1:
        return None
    return Large(entry, Progress(entry[0]), whole.counts.not_yet(whole.columns.readings))


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
