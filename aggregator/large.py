"""An entry too large for one turn, applied in slices of whole readings. Pure.

One frame can hold 10,000 readings of 64 metrics. Applied at once it would delay every other
partition, in the aggregator and, because its commit is long, in Redis. So each slice is
committed by itself, together with the number of readings applied; the last one finishes
the entry. A worker that reads the entry again, after a crash or as the next owner, continues
from there.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from aggregator.account import Counts, Progress, Sorted
from aggregator.decode import Columns, Entry, columns
from tributary.model import frame
from tributary.model.frame import RawBlock


class Large:
    """The entry, and how far it has been applied."""

    def __init__(
        self, entry: Entry, progress: Progress | None, begun: Counts | None = None
    ) -> None:
        """`begun`: the counts once it is begun; None if it is."""
        self.progress = progress or Progress(entry[0])
        self._entry = entry
        self._blocks = frame.unpack(entry[1][5])
        self._firsts = [0, *accumulate(frame.readings_in([block]) for block in self._blocks)]
        self._begun = begun

    @property
    def size_bytes(self) -> int:
        """Of the packed frame."""
        return len(self._entry[1][5])

    @property
    def readings(self) -> int:
        """How many readings are not applied yet."""
        return self._firsts[-1] - self.progress.readings

    def committed(self, progress: Progress) -> None:
        """A commit has recorded this progress."""
        self.progress, self._begun = progress, None

    def step_aside(self, before: Counts) -> Sorted:
        """Apply nothing of it, only count it as begun."""
        return Sorted([], None, self._begun or before, [], self.progress)

    def next(self, bytes_max: int, before: Counts) -> Sorted:
        """The next slice: about as many readings as fit in `bytes_max`, at least one.

        `before`: the counts of the partition, which entries behind this one may have changed.
        """
        total, first = self._firsts[-1], self.progress.readings
        last = min(total, first + max(1, total * bytes_max // max(1, self.size_bytes)))
        decoded = columns(self._between(first, last))
        counts = (self._begun or before).with_slice(last - first, is_last=last == total)
        if last < total:
            return Sorted([], decoded, counts, [], Progress(self._entry[0], last))
        return Sorted([self._entry[0]], decoded, counts, [])

    def applied(self) -> Columns:
        """The readings that are applied, at least one."""
        return columns(self._between(0, self.progress.readings))

    def rest(self) -> bytes:
        """A frame of the readings that are not applied yet."""
        return frame.pack(self._between(self.progress.readings, self._firsts[-1]))

    def _between(self, first: int, last: int) -> list[RawBlock]:
        """The blocks with the readings first … last - 1; the outer blocks are cut."""
        found: list[RawBlock] = []
        number = bisect_right(self._firsts, first) - 1
        while number < len(self._blocks) and self._firsts[number] < last:
            block, begin = self._blocks[number], self._firsts[number]
            count = self._firsts[number + 1] - begin
            found.append(_cut(block, max(0, first - begin), min(count, last - begin), count))
            number += 1
        return found


def _cut(block: RawBlock, first: int, last: int, count: int) -> RawBlock:
    device, times_ms, metrics = block
    if not isinstance(times_ms, bytes) or (first == 0 and last == count):
        return block
    if not isinstance(device, str):
        device = device[first:last]
    part = slice(8 * first, 8 * last)
    return device, times_ms[part], {name: packed[part] for name, packed in metrics.items()}  # type: ignore[index]
