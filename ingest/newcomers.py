"""The series that one process has seen, and how fast new ones may join.

A new series costs an aggregator some ten times what a reading of a known one costs, and
entries of a partition are applied in order. So readings of known devices would wait behind a
fleet that joins faster than it is absorbed. What is beyond the rate is refused before anything
of the request is appended, with 503 and Retry-After; readings of known series pass always.

Which series are known is remembered per process, not asked of Redis: after a restart every
series is new for once, so the rate should not be lower than what joins in ordinary times.
What is remembered are hashes: of a device with all metrics of a reading, by which the usual
reading is found at once, and of each device and each of its series, by which new ones are counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import repeat
from typing import NamedTuple

from ingest.batch import Batch
from tributary.auth.rate import Rate
from tributary.errors import TooManyNewSeries

_KNOWN_MAX = 1_000_000  # of each of two generations, some 70 MB each
_BURST_S = 0.2  # of the rate, at once; a request with more has to find nothing used up


_Shape = tuple[str, tuple[str, ...]]  # a device with all metrics of a reading


class Joined(NamedTuple):
    """What a request brings that this process had not seen."""

    token: str
    series: int
    new: list[_Shape]  # devices, each with its new metrics
    new_devices: list[str]
    shapes: list[_Shape]
    keys: list[int]

    @property
    def devices(self) -> int:
        """How many devices are new."""
        return len(self.new_devices)


class Newcomers:
    """What one process has seen, and a rate for the series that it has not."""

    def __init__(self, per_s: float) -> None:
        """`per_s`: new series per second of each token; 0: any."""
        self._rate = Rate(per_s, _BURST_S)
        self._shapes = _Memory()
        self._seen = _Memory()  # devices and series

    def admit(self, batch: Batch, token: str, now_s: float) -> Joined | None:
        """What is new to this process in a request, counted and remembered; None: nothing.

        Raises:
            TooManyNewSeries: more than the rate allows; nothing may be stored. A request with
                more than a burst is admitted when nothing is used up, and what comes
                after it waits until that is absorbed.
        """
        shapes = self._new_shapes(batch)
        if not shapes:
            return None
        series: set[int] = set()
        devices: dict[int, str] = {}
        new: list[_Shape] = []
        has = self._seen.has
        for device, metrics in shapes.values():
            device_key = hash((device,))
            is_new = not has(device_key)
            pairs = dict(zip(map(hash, zip(repeat(device), metrics)), metrics, strict=False))
            if not is_new:
                pairs = {key: metric for key, metric in pairs.items() if not has(key)}
            if not pairs.keys() <= series:
                new.append((device, tuple(m for key, m in pairs.items() if key not in series)))
                series.update(pairs)  # not |=, which copies the set each time
                if is_new:
                    devices[device_key] = device
        if series:
            self._count(len(series), token, now_s)
        self._shapes.add(shapes)
        if not series:
            return None
        keys = [*devices, *series]
        self._seen.add(keys)
        names = [*devices.values()]
        return Joined(token, len(series), new, names, [*shapes.values()], [*shapes, *keys])

    def forget(self, joined: Joined, *, refund: bool) -> None:
        """Make new again what was not stored, and give its part of the rate back if asked to."""
        if refund:
            self._rate.refund(joined.token, joined.series)
        self._shapes.drop(joined.keys)
        self._seen.drop(joined.keys)

    def _new_shapes(self, batch: Batch) -> dict[int, _Shape]:
        """Devices and metrics that were not seen together, by their hash."""
        new: dict[int, _Shape] = {}
        known = self._shapes.recent
        for blocks in batch.blocks.values():
            for block in blocks:
                metrics = tuple(block.metrics)
                of_metrics = hash(metrics)  # once per block, not per row
                of = (block.device,) if isinstance(block.device, str) else block.device
                for device in of:
                    key = hash((device, of_metrics))
                    if key not in known and not self._shapes.has(key):
                        new[key] = (device, metrics)
        return new

    def _count(self, series: int, token: str, now_s: float) -> None:
        wait_s = self._rate.wait_s(token, series, now_s)
        if wait_s > 0:
            raise TooManyNewSeries(
                f"{series} series of this request are new, and too many others joined just "
                "before; send it again later",
                retry_after_s=math.ceil(wait_s),
            )
        self._rate.count(token, series, now_s)


class _Memory:
    """A bounded set of hashes: two generations, of which the older one is dropped."""

    def __init__(self) -> None:
        self.recent: set[int] = set()
        self._before: set[int] = set()

    def has(self, key: int) -> bool:
        """Whether a hash is in it; one that is asked for stays."""
        if key in self.recent:
            return True
        if key not in self._before:
            return False
        self.recent.add(key)
        return True

    def add(self, keys: Iterable[int]) -> None:
        """Remember some hashes."""
        self.recent.update(keys)
        if len(self.recent) > _KNOWN_MAX:
            self._before, self.recent = self.recent, set()

    def drop(self, keys: Iterable[int]) -> None:
        """Remember some hashes no longer."""
        self.recent.difference_update(keys)
        self._before.difference_update(keys)
