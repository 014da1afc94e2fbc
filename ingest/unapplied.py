"""What one process has admitted and the totals in Redis do not hold yet, second by second.

A second is forgotten when all that was in the streams one second after it is applied: until then
what it admitted may be on its way. Below nine tenths of a cap whatever the process sees for the
first time is admitted, and after its start that is also what exists: `check` takes that away.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec
import redis

from ingest.newcomers import Joined
from tributary.store import keys
from tributary.store.redis_client import failures

_SECONDS_MAX = 600  # of backlog; beyond, the two oldest become one
_UNCHECKED_MAX = 20_000  # requests whose series are kept by name
_AT_ONCE = 1_000  # series asked for in one command


class _Second(msgspec.Struct):
    series: int = 0
    devices: int = 0
    unchecked: list[Joined] = []
    ends: list[int] | None = None  # numbers of the last entries by partition


Unchecked = list[tuple[_Second, list[Joined]]]


class Unapplied:
    """Counts of one process. Its caller holds a lock, except for `check`."""

    def __init__(self) -> None:
        self._seconds = deque([_Second()])
        self._unchecked = 0

    @property
    def series(self) -> int:
        """How many were admitted and may not be in the totals."""
        return sum(second.series for second in self._seconds)

    @property
    def devices(self) -> int:
        """How many were admitted and may not be in the totals."""
        return sum(second.devices for second in self._seconds)

    def add(self, series: int, devices: int) -> None:
        """Admit what was looked up."""
        self._seconds[-1].series += series
        self._seconds[-1].devices += devices

    def join(self, joined: Joined) -> None:
        """Admit what this process has not seen, though it may exist."""
        self.add(joined.series, joined.devices)
        if self._unchecked < _UNCHECKED_MAX:
            self._unchecked += 1
            self._seconds[-1].unchecked.append(joined)

    def end_second(self, entries: list[tuple[int, int]]) -> None:
        """Begin another second, and forget those that are in the totals.

        Args:
            entries: how many were appended and how many are applied, by partition; read before
                the totals.
        """
        seconds = self._seconds
        if len(seconds) > 1:
            seconds[-2].ends = [appended for appended, _ in entries]
        while seconds[0].ends is not None and all(
            done >= min(end, appended)  # less was appended only if Redis was emptied
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
        """What `check` has to look up."""
        taken = [(second, second.unchecked) for second in self._seconds if second.unchecked]
        for second, _ in taken:
            second.unchecked = []
        self._unchecked = 0
        return taken

    def subtract(self, checked: list[tuple[_Second, int, int]]) -> None:
        """Take away what `check` has found."""
        for second, series, devices in checked:
            second.series -= series
            second.devices -= devices


def check(
    client: redis.Redis, unchecked: Unchecked, partitions: int
) -> list[tuple[_Second, int, int]]:
    """How many series and devices of each second exist in Redis.

    Raises:
        TributaryError: Redis was not asked.
    """
    return [
        (
            second,
            _existing(client, "HMGET", keys.state, _series(several, partitions)),
            _existing(client, "ZMSCORE", keys.devices, _devices(several, partitions)),
        )
        for second, several in unchecked
    ]


def _series(several: list[Joined], partitions: int) -> Iterator[tuple[int, str]]:
    for joined in several:
        for device, metrics in joined.new:
            partition = keys.partition_of(device, partitions)
            for metric in metrics:
                yield partition, keys.series(device, metric)


def _devices(several: list[Joined], partitions: int) -> Iterator[tuple[int, str]]:
    for joined in several:
        for device in joined.new_devices:
            yield keys.partition_of(device, partitions), device


def _existing(client: redis.Redis, command: str, key: Any, names: Iterator[tuple[int, str]]) -> int:
    by_partition: dict[int, list[str]] = {}
    for partition, name in names:
        by_partition.setdefault(partition, []).append(name)
    existing = 0
    for partition, several in by_partition.items():
        for first in range(0, len(several), _AT_ONCE):
            some = several[first : first + _AT_ONCE]
            with failures():
                replies: Any = client.execute_command(command, key(partition), *some)  # type: ignore[no-untyped-call]
            existing += sum(reply is not None for reply in replies)
    return existing
