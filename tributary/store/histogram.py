"""Histograms in a hash of counts: a field for each bucket, and one for the sum.

A field is `NAME le:BOUND` or `NAME us`: the bucket of a duration, and the sum in microseconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

_SUM = "us"
_INFINITE = "+Inf"


class Buckets(NamedTuple):
    """Buckets counted by upper bound, as Prometheus sums them up, and the sum."""

    counts: list[tuple[str, float]]
    sum_s: float


class Histogram:
    """The upper bounds of the buckets of some durations, ascending, in seconds."""

    def __init__(self, *bounds_s: float) -> None:
        self.bounds_s = bounds_s
        self._names = (*(f"{bound:g}" for bound in bounds_s), _INFINITE)

    def add(self, fields: Counter[str], name: str, duration_s: float, count: int = 1) -> None:
        """Add durations to the fields of a hash."""
        fields[f"{name} le:{self._names[self.bucket(duration_s)]}"] += count
        fields[f"{name} {_SUM}"] += round(duration_s * count * 1e6)

    def bucket(self, duration_s: float) -> int:
        """The number of the first bucket that includes a duration."""
        return bisect_left(self.bounds_s, duration_s)

    def buckets(self, name: str, fields: Mapping[str, int]) -> Buckets:
        """The buckets of a name in a hash."""
        total, cumulative = 0, []
        for bound in self._names:
            total += fields.get(f"{name} le:{bound}", 0)
            cumulative.append((bound, float(total)))
        return Buckets(cumulative, fields.get(f"{name} {_SUM}", 0) / 1e6)


# From the arrival of an entry in Redis to the commit with which `/collect` has its readings.
FRESHNESS = Histogram(
    0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3_600
)  # fmt: skip
# From sending a commit to its reply.
COMMITS = Histogram(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
JOBS = Histogram(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 7_200)
