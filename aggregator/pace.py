"""How much one turn applies: as many values as keep turns short. Pure.

A value of a known series costs about 2 µs, one of a new series about 15 µs (it is looked up in
Redis, gets a row and a document, and is written for the first time). So a turn is bounded by
both, over all partitions together, and the bounds follow from how long the last turn took.
"""

from __future__ import annotations

from typing import NamedTuple

VALUES_MIN, VALUES_MAX = 512, 65_536
# 8,192 new series take about 0.1 s here, and their commits Redis about 0.03 s.
NEW_SERIES_MAX = 8_192
SLOW_S, FAST_S = 0.2, 0.1
_TOLERANCE = 1.5  # exceeding a bound slightly is cheaper than decoding again
_BYTES_PER_VALUE = 32.0  # of a frame, until the first frames were decoded
_BYTES_PER_VALUE_MIN = 8.0  # of a column


class Share(NamedTuple):
    """A bound in bytes of frames, for decoding, and in what the frames contain."""

    size_bytes: int
    values: int
    new_series: int  # not in memory

    def share(self, among: int) -> Share:
        """An equal part of it."""
        return Share(*(max(1, each // among) for each in self))

    def less(self, size_bytes: int, values: int, new_series: int) -> Share:
        """What is left after this much was taken."""
        taken = (size_bytes, values, new_series)
        return Share(*(max(0, each - used) for each, used in zip(self, taken, strict=True)))

    def excess(self, values: int, new_series: int) -> float:
        """By what factor the bounds are exceeded; 1 if at most slightly."""
        times = max(values / self.values, new_series / self.new_series)
        return 1.0 if times <= _TOLERANCE else times


class Pace:
    """The bounds of the next turn."""

    def __init__(self) -> None:
        self.values_max = VALUES_MAX // 8
        self._bytes_per_value = _BYTES_PER_VALUE

    def turn(self) -> Share:
        """The bounds of the next turn, for all partitions together."""
        size_bytes = int(self.values_max * self._bytes_per_value)
        return Share(size_bytes, self.values_max, min(NEW_SERIES_MAX, self.values_max))

    def decoded(self, size_bytes: int, values: int) -> None:
        """Update the size of a value from what was decoded."""
        if values:
            self._bytes_per_value = max(_BYTES_PER_VALUE_MIN, size_bytes / values)

    def took(self, seconds: float, values: int) -> None:
        """Lower the bound after a slow turn, raise it after a fast one that used most of it."""
        if seconds > SLOW_S:
            self.halve()
        elif seconds < FAST_S and values * 2 > self.values_max:
            self.values_max = min(VALUES_MAX, self.values_max * 5 // 4)

    def halve(self) -> None:
        """Halve the bound: a turn was slow, or Redis took too long to reply."""
        self.values_max = max(VALUES_MIN, self.values_max // 2)
