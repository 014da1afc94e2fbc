"""A rate limit for new series, and which series this process has seen.

A new series costs an aggregator about ten times as much as a reading of a known one, and the
entries of a partition are applied in order, so readings of known devices would wait behind a
fleet that joins too fast. Requests over the rate are rejected with 503 and Retry-After before
anything is appended; readings of known series are always accepted.

A process remembers what it has seen and does not look it up in Redis. After a restart every
series is new, so the rate should be no lower than what restarts need. It stores hashes: of a
device with all metrics of a reading, to recognise most readings with one lookup, and of each
device and series, to count the new ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import repeat
from typing import NamedTuple

from ingest.batch import Batch
from tributary.auth.rate import Rate
from tributary.errors import TooManyNewSeries

_HASHES_MAX = 1_000_000  # in each of two generations, about 70 MB each
_BURST_S = 0.2  # a larger request is accepted only if nothing of the rate is used up

_Shape = tuple[str, tuple[str, ...]]  # a device with all metrics of a reading


class NewSeries(NamedTuple):
    """The series and devices of a request that this process had not seen."""

    token: str
    series: int
    new: list[_Shape]  # devices, each with its new metrics
    new_devices: list[str]
    shapes: list[_Shape]
    hashes: list[int]

    @property
    def devices(self) -> int:
        """Number of new devices."""
        return len(self.new_devices)


class NewSeriesRate:
    """What one process has seen, and the rate at which new series may join."""

    def __init__(self, per_s: float) -> None:
        """`per_s`: new series per second and token; 0: no limit."""
        self._rate = Rate(per_s, _BURST_S)
        self._shapes = _Memory()
        self._seen = _Memory()  # devices and series

    def admit(self, batch: Batch, token: str, now_s: float) -> NewSeries | None:
        """Count and remember what is new to this process in a batch; None if nothing is.

        Raises:
            TooManyNewSeries: over the rate; nothing may be stored. A batch with more than a burst
                is admitted if nothing is used up, and later ones wait until it is absorbed.
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
        hashes = [*devices, *series]
        self._seen.add(hashes)
        names = [*devices.values()]
        return NewSeries(token, len(series), new, names, [*shapes.values()], [*shapes, *hashes])

    def forget(self, unstored: NewSeries, *, refund: bool) -> None:
        """Forget series that were not stored; `refund` their part of the rate."""
        if refund:
            self._rate.refund(unstored.token, unstored.series)
        self._shapes.drop(unstored.hashes)
        self._seen.drop(unstored.hashes)

    def _new_shapes(self, batch: Batch) -> dict[int, _Shape]:
        """Combinations of device and metrics that are new, by hash."""
        new: dict[int, _Shape] = {}
        known = self._shapes.recent
        for blocks in batch.blocks.values():
            for block in blocks:
                metrics = tuple(block.metrics)
                metrics_hash = hash(metrics)  # once per block, not per row
                named = (block.device,) if isinstance(block.device, str) else block.device
                # Fast code: most batches have only known ones; most hashes are recent.
                if known.issuperset(map(hash, zip(set(named), repeat(metrics_hash)))):
                    continue
                for device in dict.fromkeys(named):
                    key = hash((device, metrics_hash))
                    if key not in known and not self._shapes.has(key):
                        new[key] = (device, metrics)
        return new

    def _count(self, series: int, token: str, now_s: float) -> None:
        wait_s = self._rate.wait_s(token, series, now_s)
        if wait_s > 0:
            raise TooManyNewSeries(
                f"{series} series of this request are new, and too many others joined just "
                "before; retry later",
                retry_after_s=math.ceil(wait_s),
            )
        self._rate.count(token, series, now_s)


class _Memory:
    """A bounded set of hashes, in two generations; the older one is dropped."""

    def __init__(self) -> None:
        self.recent: set[int] = set()
        self._previous: set[int] = set()

    def has(self, key: int) -> bool:
        """Whether a hash is in the set; a hash that is looked up is kept."""
        if key in self.recent:
            return True
        if key not in self._previous:
            return False
        self.recent.add(key)
        return True

    def add(self, hashes: Iterable[int]) -> None:
        """Add hashes."""
        self.recent.update(hashes)
        if len(self.recent) > _HASHES_MAX:
            self._previous, self.recent = self.recent, set()

    def drop(self, hashes: Iterable[int]) -> None:
        """Remove hashes."""
        self.recent.difference_update(hashes)
        self._previous.difference_update(hashes)
