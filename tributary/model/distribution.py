"""Distributions of readings, described by few of their quantiles. Pure.

A slot has its number of readings, its minimum and its maximum, and for seven ranks in between
one byte: where the value at that rank is between two others, beginning with the outermost and
the extremes. So a few outliers do not make the inner ones less exact. Between these nine points the
readings are taken to be spread evenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor
from typing import Any, NamedTuple

import numpy as np

from tributary.model.groups import Floats

RANKS = np.array([0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99])
_RANKS: list[float] = RANKS.tolist()
_ENDS = np.concatenate([[0.0], RANKS, [1.0]])
_STEPS = 255
_SCALE = 2.0**-4  # of values, so that slopes between the largest ones do not overflow
_MIDDLE, _LOW, _HIGH = 2, -1, len(RANKS)  # places among the ranks, and beside them
# The ranks in the order of their bytes, and the two values that each is between: the ranks 0.99,
# 0.05, 0.95, 0.25, 0.9, 0.75, 0.5.
_NESTED = (
    (6, _LOW, _HIGH), (0, _LOW, 6), (5, 0, 6), (1, 0, 5), (4, 1, 5), (3, 1, 4), (2, 1, 3),
)  # fmt: skip
Sketch = Any  # a record of `SKETCH`
# What no distribution has: if rank 0.99 is at the minimum, so are the others.
_UNKNOWN = [1, 0, 0, 0, 0, 0, 0]
UNKNOWN = np.array(_UNKNOWN, np.uint8)

SKETCH = np.dtype(
    [("count", "<u4"), ("min", "<f8"), ("max", "<f8"), ("marks", "u1", (len(RANKS),))]
)


class Curve(NamedTuple):
    """A distribution: the values at increasing ranks, and linear in between."""

    readings: float
    values: Floats
    ranks: Floats  # from 0 to 1

    @classmethod
    def of_points(cls, values: Floats, weights: Floats, low: float, high: float) -> Curve:
        """Of sorted values, each of which stands for some readings, and their extremes."""
        total = float(weights.sum())
        middle = (np.cumsum(weights) - weights / 2) / total
        values = np.concatenate([[low], np.clip(values, low, high), [high]])
        return cls(total, values, np.concatenate([[0.0], middle, [1.0]]))

    @classmethod
    def of_one(cls, value: float) -> Curve:
        """Of one reading."""
        return cls(1.0, np.array([value, value]), np.array([0.0, 1.0]))

    @classmethod
    def of_slot(cls, slot: Sketch) -> Curve | None:
        """Of a `SKETCH` record with readings; None if its marks are unknown."""
        marks = slot["marks"].tolist()
        if marks == _UNKNOWN:
            return None
        values = _unmarked(float(slot["min"]), float(slot["max"]), marks)
        return cls(float(slot["count"]), np.array(values), _ENDS)

    def at(self, ranks: Floats) -> Floats:
        """The values at ranks."""
        scaled = np.interp(ranks, self.ranks, self.values * _SCALE)
        return np.clip(scaled / _SCALE, self.values[0], self.values[-1])

    def marks(self) -> list[int]:
        """The values at `RANKS` as bytes."""
        return _marked(float(self.values[0]), float(self.values[-1]), self.at(RANKS).tolist())

    def sketch(self) -> Sketch:
        """As a `SKETCH` record."""
        found = np.zeros((), SKETCH)
        found["count"], found["marks"] = round(self.readings), self.marks()
        found["min"], found["max"] = self.values[0], self.values[-1]
        return found[()]


def sketch_of(points: Sequence[tuple[float, float]], low: float, high: float) -> Sketch:
    """`Curve.of_points(…).sketch()` in a tenth of the time: of few sorted values and weights."""
    total, upto = sum(weight for _, weight in points), 0.0
    rank, value, found = 0.0, low, []
    left = iter(_RANKS)
    wanted = next(left)
    for following, weight in (*points, (high, 0.0)):
        upto += weight
        middle = (upto - weight / 2) / total
        while wanted <= middle:
            share = (wanted - rank) / (middle - rank)
            found.append(_between(value, following, share))
            wanted = next(left, 2.0)
        rank, value = middle, following
    return np.array((round(total), low, high, _marked(low, high, found)), SKETCH)[()]


def joined(curves: Sequence[Curve]) -> Curve:
    """The distribution of all readings of some distributions, at least one."""
    if len(curves) == 1:
        return curves[0]
    values = np.unique(np.concatenate([curve.values for curve in curves]))
    total = sum(curve.readings for curve in curves)
    upto, before = np.zeros(len(values)), np.zeros(len(values))
    for curve in curves:
        # Of equal values, `interp` takes the last one: the share of readings up to a value. The
        # same in reverse is the share of those that are smaller.
        held, share = curve.values * _SCALE, curve.readings / total
        upto += np.interp(values * _SCALE, held, curve.ranks) * share
        smaller = np.interp(-values * _SCALE, -held[::-1], 1 - curve.ranks[::-1])
        before += (1 - smaller) * share
    ranks = np.stack([before, upto], axis=1).ravel()
    return Curve(total, np.repeat(values, 2), np.maximum.accumulate(ranks))


def _marked(low: float, high: float, values: Sequence[float]) -> list[int]:
    """The values at `RANKS` as bytes; `_unmarked` has the meaning of these.

    Those above the middle are rounded up and those below it down, so that the ones in between stay
    in between.
    """
    marks, bounds = [0] * len(RANKS), {_LOW: low, _HIGH: high}
    for place, below, above in _NESTED:
        first, last, value = bounds[below], bounds[above], values[place]
        unit = max(abs(first), abs(last)) or 1.0  # the difference of large numbers overflows
        width = last / unit - first / unit
        share = (value / unit - first / unit) / width if width > 0 else 0.0
        rounded = round if place == _MIDDLE else ceil if place > _MIDDLE else floor
        marks[place] = min(max(rounded(share * _STEPS), 0), _STEPS)
        bounds[place] = _between(first, last, marks[place] / _STEPS)
    return marks


def _unmarked(low: float, high: float, marks: Sequence[int]) -> list[float]:
    """Minimum, the values at `RANKS`, and maximum."""
    bounds = {_LOW: low, _HIGH: high}
    for place, below, above in _NESTED:
        bounds[place] = _between(bounds[below], bounds[above], marks[place] / _STEPS)
    return [bounds[place] for place in range(_LOW, _HIGH + 1)]


def _between(low: float, high: float, share: float) -> float:
    return min(max(low * (1 - share) + high * share, low), high)
