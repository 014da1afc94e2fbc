"""Computes the values of one series at many times from its stored slots. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from api.prometheus.vectors import Points
from api.read import query, selected
from api.read.query import Cells
from api.read.sources import Part
from tributary.model.aggregate import Records
from tributary.model.groups import Ints


class Newest(NamedTuple):
    """The newest readings of a series, by time; they decide exactly from the first of them on."""

    times_ms: Ints
    values: NDArray[np.float64]

    @classmethod
    def of(cls, series: query.Series) -> Newest:
        """Those in the aggregates of a series."""
        count = min(int(series.state["count"]), len(series.state["values"]))
        if count == 0:
            return NOTHING
        return cls(series.state["times_ms"][-count:], series.state["values"][-count:])


NOTHING = Newest(np.empty(0, np.int64), np.empty(0))


def latest(newest: Newest, cells: Cells, times_ms: Ints, reach_ms: tuple[int, int]) -> Points:
    """The newest reading up to each time; before all of `newest`, the mean of the newest slot.

    `reach_ms`: the age above which a reading, and one above which a slot, is stale.
    """
    order = np.argsort(cells.begin_ms, kind="stable")
    begin_ms, means = cells.begin_ms[order], cells.cells["mean"][order]
    values, is_present = _before(begin_ms, means, times_ms, "left", reach_ms[1])
    exact, is_fresh = _before(newest.times_ms, newest.values, times_ms, "right", reach_ms[0])
    if len(newest.times_ms):
        is_decided = times_ms >= newest.times_ms[0]
        values = np.where(is_decided, exact, values)
        is_present = np.where(is_decided, is_fresh, is_present)
    return Points(values, is_present)


def _before(
    starts_ms: Ints, values: NDArray[np.float64], times_ms: Ints, side: str, reach_ms: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The last value before each time, and whether there is one that is not too old."""
    if len(starts_ms) == 0:
        return np.full(len(times_ms), np.nan), np.zeros(len(times_ms), np.bool_)
    place = np.searchsorted(starts_ms, times_ms, side) - 1  # type: ignore[call-overload]
    is_present = (place >= 0) & (times_ms - starts_ms[place] <= reach_ms)
    return values[place], is_present


class Ranges(NamedTuple):
    """The slots of a series that begin in [t - range, t) of each time t: `low` to `high`."""

    cells: Records
    low: Ints
    high: Ints

    @classmethod
    def of(cls, cells: Cells, times_ms: Ints, range_ms: int) -> Ranges:
        """Find them; cells are sorted by time."""
        order = np.argsort(cells.begin_ms, kind="stable")
        begin_ms = cells.begin_ms[order]
        low = np.searchsorted(begin_ms, times_ms - range_ms)
        return cls(cells.cells[order], low, np.searchsorted(begin_ms, times_ms))

    def reduced(self, function: np.ufunc, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Reduce the values of each range; anything where it is empty."""
        bounds = np.stack([self.low, self.high], axis=1).ravel()
        result: NDArray[np.float64] = function.reduceat(np.append(values, 0.0), bounds)[::2]
        return result


def over(cells: Cells, times_ms: Ints, range_ms: int, statistic: str) -> Points:
    """A statistic of the readings in the range before each time."""
    ranges = Ranges.of(cells, times_ms, range_ms)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        values = OVER[statistic](ranges)
    return Points(values, ranges.high > ranges.low)


class Range(NamedTuple):
    """The same length before each of some times."""

    times_ms: Ints
    length_ms: int


def increase(series: query.Series | None, cells: Cells, parts: Sequence[Part], of: Range) -> Points:
    """What a counter has gained in the range before each time, from slots of windows.

    Args:
        series: with the counter; None: Redis does not know it.
        cells: its slots, which say where it has readings.
        parts: where these are from.
        of: the times and the range.
    """
    if series is None or series.counter is None or not parts:
        return Points(np.zeros(len(of.times_ms)), np.zeros(len(of.times_ms), np.bool_))
    found = [selected.increases(series.counter, part) for part in parts]
    begin_ms = np.concatenate([each.begin_ms for each in found])
    gained = np.concatenate([each.increase for each in found])
    order = np.argsort(begin_ms, kind="stable")
    totals = np.concatenate([[0.0], np.cumsum(gained[order])])
    bounds_ms = of.times_ms - of.length_ms, of.times_ms
    first, last = (np.searchsorted(begin_ms[order], each) for each in bounds_ms)
    ranges = Ranges.of(cells, of.times_ms, of.length_ms)
    return Points(np.maximum(totals[last] - totals[first], 0.0), ranges.high > ranges.low)


def _count(ranges: Ranges) -> NDArray[np.float64]:
    return ranges.reduced(np.add, ranges.cells["count"].astype(np.float64))


def _sum(ranges: Ranges) -> NDArray[np.float64]:
    return ranges.reduced(np.add, ranges.cells["mean"] * ranges.cells["count"])


def _min(ranges: Ranges) -> NDArray[np.float64]:
    return ranges.reduced(np.minimum, ranges.cells["min"])


def _max(ranges: Ranges) -> NDArray[np.float64]:
    return ranges.reduced(np.maximum, ranges.cells["max"])


def _mean(ranges: Ranges) -> NDArray[np.float64]:
    """The mean, without the rounding error beyond the extremes or of a single slot."""
    means = np.append(ranges.cells["mean"], 0.0)[ranges.low]
    mean = np.clip(_sum(ranges) / _count(ranges), _min(ranges), _max(ranges))
    return np.where(ranges.high - ranges.low == 1, means, mean)


def _present(ranges: Ranges) -> NDArray[np.float64]:
    return np.ones(len(ranges.low))


def _stddev(ranges: Ranges) -> NDArray[np.float64]:
    """The standard deviation of all readings, not of a sample of them: n, not n - 1."""
    found = np.full(len(ranges.low), np.nan)
    for place, (low, high) in enumerate(
        zip(ranges.low.tolist(), ranges.high.tolist(), strict=True)
    ):
        if low < high:
            merged = query.statistics(ranges.cells[low:high])
            if merged.stddev is not None:
                found[place] = merged.stddev * math.sqrt((merged.count - 1) / merged.count)
            elif merged.count == 1:
                found[place] = 0.0
    return found


def _variance(ranges: Ranges) -> NDArray[np.float64]:
    return np.square(_stddev(ranges))


OVER: dict[str, Callable[[Ranges], NDArray[np.float64]]] = {
    "avg_over_time": _mean,
    "count_over_time": _count,
    "max_over_time": _max,
    "min_over_time": _min,
    "present_over_time": _present,
    "stddev_over_time": _stddev,
    "stdvar_over_time": _variance,
    "sum_over_time": _sum,
}
