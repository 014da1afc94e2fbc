"""How fast new series may join: about as fast as an aggregator can take them in.

A new series costs an aggregator some ten times what a reading of a known one costs, and
entries of a partition are applied in order. So readings of known devices would wait behind a
fleet that joins faster than it is absorbed. What is beyond the rate is refused before anything
of the request is appended, with 503 and Retry-After; readings of known series pass always.

Which series are known is remembered per process, not asked of Redis: after a restart every
series is new for once, so the rate should not be lower than what joins in ordinary times.
"""

from __future__ import annotations

import math

from ingest.rules import Accepted
from tributary.errors import TooManyNewSeries
from tributary.frame import Block
from tributary.rate import Rate

_KNOWN_MAX = 1_000_000  # of each of two generations, some 90 MB if so many devices record
_BURST_S = 0.2  # of the rate, at once; a request with more has to find nothing used up
_NAMED_FROM = 5  # metrics: of fewer only the number is remembered, which is cheaper


class Newcomers:
    """The series that one process has seen, and a rate for those that it has not."""

    def __init__(self, per_s: float) -> None:
        """`per_s`: new series per second of each token; 0: any."""
        self._rate = Rate(per_s, _BURST_S)
        self._known: set[int] = set()
        self._known_before: set[int] = set()

    def admit(self, accepted: Accepted, token: str, now_s: float) -> int:
        """How many series of a request are new to this process.

        Raises:
            TooManyNewSeries: more than the rate allows; nothing may be stored. A request with
                more than a burst is admitted when nothing is used up, and what comes
                after it waits until that is absorbed.
        """
        new: dict[int, int] = {}
        for blocks in accepted.blocks.values():
            for block in blocks:
                if isinstance(block.device, str):
                    key = _key(block.device, block)
                    if key not in self._known:
                        self._meet(key, block, new)
                else:
                    for device in block.device:
                        key = _key(device, block)
                        if key not in self._known:
                            self._meet(key, block, new)
        if not new:
            return 0
        series = sum(new.values())
        wait_s = self._rate.wait_s(token, series, now_s)
        if wait_s > 0:
            raise TooManyNewSeries(
                f"{series} series of this request are new, and too many others joined just "
                "before; send it again later",
                retry_after_s=math.ceil(wait_s),
            )
        self._rate.count(token, series, now_s)
        self._known.update(new)
        if len(self._known) > _KNOWN_MAX:
            self._known_before, self._known = self._known, set()
        return series

    def _meet(self, key: int, block: Block, new: dict[int, int]) -> None:
        if key in self._known_before:
            self._known.add(key)
        else:
            new[key] = len(block.metrics)


def _key(device: str, block: Block) -> int:
    metrics = block.metrics
    if len(metrics) < _NAMED_FROM:
        return hash((device, len(metrics)))
    return hash((device, *metrics))
