"""Series admitted by one process that are not in the totals of Redis yet, counted per second.

The count of a second is dropped once everything that the streams contained one second later is
applied: until then, what was admitted may be in flight. Below 90 % of a cap, every series that a
process sees for the first time counts, and after a start that includes existing ones: `check`
finds them, so that they can be subtracted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import redis

from ingest.new_series import NewSeries
from tributary.store import keys
from tributary.store.redis_client import failures

_SECONDS_MAX = 600  # of backlog; after that, the two oldest are merged
_UNCHECKED_MAX = 20_000  # requests whose series can be checked
_PER_COMMAND_MAX = 1_000


class _Second(msgspec.Struct):
    series: int = 0
    devices: int = 0
    unchecked: list[NewSeries] = []
    ends: list[int] | None = None  # numbers of the last entries by partition


Unchecked = list[tuple[_Second, list[NewSeries]]]


class Unapplied:
    """The counts of one process; not thread-safe."""

    def __init__(self) -> None:
        self._seconds = deque([_Second()])
        self._unchecked = 0

    @property
    def series(self) -> int:
        """Series that may not be in the totals."""
        return sum(second.series for second in self._seconds)

    @property
    def devices(self) -> int:
        """Devices that may not be in the totals."""
        return sum(second.devices for second in self._seconds)

    def add(self, series: int, devices: int) -> None:
        """Count series and devices that do not exist in Redis."""
        self._seconds[-1].series += series
        self._seconds[-1].devices += devices

    def add_unchecked(self, new: NewSeries) -> None:
        """Count series and devices that are new to this process, but may exist in Redis."""
        self.add(new.series, new.devices)
        if self._unchecked < _UNCHECKED_MAX:
            self._unchecked += 1
            self._seconds[-1].unchecked.append(new)

    def end_second(self, entries: list[tuple[int, int]]) -> None:
        """Start another second, and drop those that are in the totals.

        Args:
            entries: appended and applied entries of each partition, read before the totals.
        """
        seconds = self._seconds
        if len(seconds) > 1:
            seconds[-2].ends = [appended for appended, _ in entries]
        while seconds[0].ends is not None and all(
            done >= min(end, appended)  # fewer are appended only if Redis was emptied
            for end, (appended, done) in zip(seconds[0].ends, entries, strict=False)
        ):
            self._unchecked -= len(seconds.popleft().unchecked)
        if len(seconds) >= _SECONDS_MAX:
            oldest = seconds.popleft()
            seconds[0].series += oldest.series
            seconds[0].devices += oldest.devices
            seconds[0].unchecked += oldest.unchecked
        seconds.append(_Second())

    def take_unchecked(self) -> Unchecked:
        """Remove and return what `check` has to look up."""
        taken = [(second, second.unchecked) for second in self._seconds if second.unchecked]
        for second, _ in taken:
            second.unchecked = []
        self._unchecked = 0
        return taken

    def subtract(self, checked: list[tuple[_Second, int, int]]) -> None:
        """Subtract what `check` found."""
        for second, series, devices in checked:
            second.series -= series
            second.devices -= devices


def check(
    client: redis.Redis, unchecked: Unchecked, partitions: int
) -> list[tuple[_Second, int, int]]:
    """Count the series and devices of each second that exist in Redis."""
    return [
        (
            second,
            _existing(client, "HMGET", (keys.state, keys.rows), _series(several, partitions)),
            _existing(client, "ZMSCORE", (keys.devices,), _devices(several, partitions)),
        )
        for second, several in unchecked
    ]


def _series(several: list[NewSeries], partitions: int) -> Iterator[tuple[int, str]]:
    for added in several:
        for device, metrics in added.new:
            partition = keys.partition_of(device, partitions)
            for metric in metrics:
                yield partition, keys.series(device, metric)


def _devices(several: list[NewSeries], partitions: int) -> Iterator[tuple[int, str]]:
    for added in several:
        for device in added.new_devices:
            yield keys.partition_of(device, partitions), device


def _existing(
    client: redis.Redis,
    command: str,
    of_partition: tuple[Callable[[int], str], ...],
    names: Iterator[tuple[int, str]],
) -> int:
    """How many names are in one of the keys of their partition."""
    by_partition: dict[int, list[str]] = {}
    for partition, name in names:
        by_partition.setdefault(partition, []).append(name)
    existing = 0
    for partition, several in by_partition.items():
        for first in range(0, len(several), _PER_COMMAND_MAX):
            some = several[first : first + _PER_COMMAND_MAX]
            pipeline = client.pipeline(transaction=False)
            for key in of_partition:
                pipeline.execute_command(command, key(partition), *some)  # type: ignore[no-untyped-call]
            with failures():
                replies: Any = zip(*pipeline.execute(), strict=True)
            existing += sum(any(reply is not None for reply in each) for each in replies)
    return existing
