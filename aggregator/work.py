"""The entries of one read of a partition, taken piece by piece.

An entry with many new series steps aside: the entries behind it are applied first, and its
slices with a part of each turn. So known devices do not wait for a fleet that joins. Each
partition has at most one entry that is begun; another large one waits for it.
"""

from __future__ import annotations

import numpy as np

from aggregator.account import Progress, Sorted, bury, bury_rest, sort_out
from aggregator.attempts import Attempt
from aggregator.changes import Changes
from aggregator.decode import Entry, Scan
from aggregator.large import Large
from aggregator.owned_rows import Loaded
from aggregator.parts import Parts, size_bytes
from aggregator.table import Unseen
from aggregator.tenure import Tenure
from tributary.model.groups import Ints
from tributary.model.rows import StoredSeries

_NO_ROWS: Ints = np.empty(0, np.int64)


class Work:
    """The entries of one read that are not applied yet, in order; or one that stepped aside."""

    def __init__(
        self,
        tenure: Tenure,
        entries: list[Entry],
        recovered: int = 0,
        *,
        aside: Large | None = None,
    ) -> None:
        """`recovered`: how many of the first entries were read before and not committed."""
        self.tenure = tenure
        self.parts = Parts(entries)
        self.is_recovered = recovered > 0
        self.is_aside = aside is not None
        self.alone = recovered  # entries to apply apart from the rest
        self.taken_bytes = 0  # by the last `next`
        self.decoded_bytes = 0  # to take them: all of a large entry that is begun
        self._large: Large | None = aside
        self._is_stepping_aside = False
        self._attempted = recovered  # limit per attempt

    @property
    def is_left(self) -> bool:
        """Whether there is something to apply, and the tenure is not over."""
        return bool(self.parts) and not self.tenure.is_over

    @property
    def size_bytes(self) -> int:
        """Size of the entries that are left."""
        return self.parts.size_bytes

    @property
    def first_bytes(self) -> int:
        """Size of the oldest entry if others were taken with it, as it may fit alone; else 0."""
        part = self.parts.next
        return size_bytes(part[:1]) if len(part) > 1 else 0

    def slices(self, readings: int) -> float:
        """How many slices of this many readings the entry has left; 0: it may not step aside."""
        if self.is_aside or self.alone or readings == 1:
            return 0.0
        if self._large is None:
            may_begin = len(self.parts.next) == 1 and self.tenure.begun_id is None
            return 1.0 if may_begin else 0.0
        return self._large.readings / readings

    def next(
        self, bytes_max: int, *, may_begin: bool = True, scan: Scan | None = None
    ) -> Sorted | None:
        """The oldest entries that fit, at least one, or the next slice of a large one.

        None: a large one may not begin yet, or has to wait for another one; so has a tombstone.
        """
        part, counts = self.parts.next, self.tenure.counts
        self._is_stepping_aside = False
        if self.size_bytes > bytes_max:
            part = self.parts.take(_fitting(part, bytes_max))
        self.taken_bytes = self.decoded_bytes = self.parts.next_bytes
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
            return self._sorted(part, scan)
        self.parts.take(1)
        self.taken_bytes = min(self.parts.next_bytes, bytes_max)
        return self._large.next(bytes_max, counts)

    def _sorted(self, part: list[Entry], scan: Scan | None) -> Sorted | None:
        sorted_ = sort_out(part, self.tenure.counts, scan)
        if len(sorted_.ids) < len(part):  # up to a tombstone
            self.parts.take(len(sorted_.ids))
            self.taken_bytes = self.decoded_bytes = self.parts.next_bytes
        if sorted_.forget is not None and self.tenure.begun_id is not None:
            self.taken_bytes = self.decoded_bytes = 0
            return None  # the entry that is begun was recorded before it
        return sorted_

    def step_aside(self, taken: Sorted) -> Sorted:
        """Put the oldest entry aside; `commit` returns it as separate work.

        `taken`: all of it, or a slice, as `next` returned it.
        """
        self._large = self._large or _sliceable(self.parts.next[0], taken)
        if self._large is None:
            return taken
        self._is_stepping_aside = True
        return self._large.step_aside(self.tenure.counts)

    async def attempt(self) -> Attempt:
        """Record in Redis which entries are about to be applied."""
        part = self.parts.next
        wanted = min(len(part), self._attempted)
        attempt = await self.tenure.attempt(part[0][0], wanted)
        self.parts.take(attempt.entries)
        self._attempted = attempt.entries * 2
        return attempt

    def failed(self) -> bool:
        """The oldest part failed in the fold; return whether it is one entry that has to be buried."""
        if self.alone == 0:
            self.alone = len(self.parts.next)
            return False
        return self.parts.failed()

    def buried(self, reason: str) -> Sorted:
        """Bury the oldest entry; of a large one, the rest that is not applied."""
        entry, counts = self.parts.take(1)[0], self.tenure.counts
        self._large, self._is_stepping_aside = None, False
        if entry[0] != self.tenure.begun_id:
            return bury(entry, counts, reason)
        large = Large(entry, self.tenure.progress)
        return bury_rest(entry, counts, reason, large.rest(), large.progress.readings)

    def commit(self, change: Changes) -> Work | None:
        """Send what was applied or buried, and with the last of it the next read.

        Returns the entry that stepped aside, as separate work.
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
            self.parts.done()
        # The next read follows the last of these entries; one that stepped aside does not delay it.
        (self.tenure.commit_part if self.parts or self.is_aside else self.tenure.commit)(change)
        self._is_stepping_aside = False
        return aside


class PartitionBatch:
    """What one turn takes from the work of one partition."""

    def __init__(self, work: Work, sorted_: Sorted, decoded_bytes: int) -> None:
        self.work = work
        self.decoded_bytes = decoded_bytes
        self.tenure = work.tenure
        self.sorted = sorted_
        self.columns = sorted_.columns  # the values to fold, if any
        self.values = 0 if self.columns is None else len(self.columns.values)
        self.unseen = Unseen([], [])
        self.loaded: Loaded = (StoredSeries([], {}), [], [])  # of `unseen`
        self.new_devices: list[str] = []  # without a stored document
        known = None if self.columns is None else self.columns.rows
        self.rows = _NO_ROWS if known is None else known  # of the table, one per value


def _sliceable(entry: Entry, whole: Sorted) -> Large | None:
    """The entry as a large one unless it has one reading; `whole`: as if applied at once."""
    if whole.columns is None or whole.columns.readings == 1:
        return None
    return Large(entry, Progress(entry[0]), whole.counts.with_begun(whole.columns.readings))


def _fitting(entries: list[Entry], bytes_max: int) -> int:
    """How many of the first entries fit in `bytes_max`, at least one."""
    taken_bytes = 0
    for number, (_, fields) in enumerate(entries):
        taken_bytes += len(fields[-1]) if fields else 0
        if taken_bytes > bytes_max:
            return max(1, number)
    return len(entries)
