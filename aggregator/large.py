"""An entry too large for one turn, applied in slices of whole readings. Pure.

One frame can hold 10,000 readings of 64 metrics. Applied at once it would hold up every other
partition, in the aggregator and, by the length of its commit, in Redis. So each slice is
committed by itself, together with how far it reaches; the last one acknowledges the entry.
Whoever reads the entry again, after a crash or as the next owner, goes on from there.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from aggregator.account import Counts, Entry, Progress, Sorted
from aggregator.decode import columns
from tributary.model import frame
from tributary.model.frame import RawBlock


class Large:
    """The entry, and how far it has been applied."""

    def __init__(
        self, entry: Entry, progress: Progress | None, passed: Counts | None = None
    ) -> None:
        """`passed`: the counts once it is passed; None if it is."""
        self.progress = progress or Progress(entry[0])
        self._entry = entry
        self._blocks = frame.unpack(entry[1][5])
        self._firsts = [0, *accumulate(frame.readings_in([block]) for block in self._blocks)]
        self._passed = passed

    @property
    def size_bytes(self) -> int:
        """Of the packed frame."""
        return len(self._entry[1][5])

    @property
    def readings(self) -> int:
        """How many are not applied yet."""
        return self._firsts[-1] - self.progress.readings

    def committed(self, progress: Progress) -> None:
        """It is passed, and so much of it is applied."""
        self.progress, self._passed = progress, None

    def passed(self, before: Counts) -> Sorted:
        """Nothing of it, and the counts once it is passed."""
        return Sorted([], None, self._passed or before, [], self.progress)

    def next(self, bytes_max: int, before: Counts) -> Sorted:
        """The next slice: about as many readings as fit `bytes_max`, at least one.

        `before` are the counts of the partition, which entries behind this one may have changed.
        """
        total, first = self._firsts[-1], self.progress.readings
        last = min(total, first + max(1, total * bytes_max // max(1, self.size_bytes)))
        decoded = columns(self._between(first, last))
        counts = (self._passed or before).with_slice(last - first, is_last=last == total)
        if last < total:
            return Sorted([], decoded, counts, [], Progress(self._entry[0], last))
        return Sorted([self._entry[0]], decoded, counts, [])

    def rest(self) -> bytes:
        """A frame of the readings that have not been applied."""
        return frame.pack(self._between(self.progress.readings, self._firsts[-1]))

    def _between(self, first: int, last: int) -> list[RawBlock]:
        """The blocks that hold the readings first … last - 1, the outer ones cut."""
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
