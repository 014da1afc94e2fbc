"""Readings grouped by series, and the summary of each group."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tributary.model.aggregate import Summary, exponents, is_beyond, packed_m2

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Readings(NamedTuple):
    """Values in order of arrival."""

    rows: Ints  # of the table of series
    times_ms: Ints  # event times, UTC
    values: Floats  # finite


class Groups(NamedTuple):
    """Readings sorted by series and time, and where each series begins among them."""

    times_ms: Ints
    values: Floats
    starts: Ints
    counts: Ints
    series: Ints  # number of the series of each reading, 0 … len(starts) - 1


def grouped(readings: Readings, order: Ints) -> tuple[Ints, Groups]:
    """The distinct rows, and the readings as groups; `order` sorts them by row and time."""
    rows = readings.rows[order]
    first = np.empty(len(rows), np.bool_)
    first[0] = True
    np.not_equal(rows[1:], rows[:-1], out=first[1:])
    starts = np.flatnonzero(first)
    counts = lengths(starts, len(rows))
    series = first.cumsum() - 1
    times_ms, values = readings.times_ms[order], readings.values[order]
    return rows[starts], Groups(times_ms, values, starts, counts, series)


def lengths(starts: Ints, end: int) -> Ints:
    """The lengths of parts that begin at `starts`, the last of which ends at `end`.

    Fast code: `numpy.diff` with `append` takes five times as long for a few parts.
    """
    found = np.empty_like(starts)
    found[:-1] = starts[1:]
    found[-1:] = end
    found -= starts
    return found


def summary(values: Floats, starts: Ints, counts: Ints) -> Summary:
    """The summary of each group; it reads the values twice."""
    low = np.minimum.reduceat(values, starts)
    high = np.maximum.reduceat(values, starts)
    if len(starts) == len(values):
        return Summary(counts, values.copy(), np.zeros(len(values)), low, high)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.add.reduceat(values, starts) / counts
        if not np.isfinite(mean).all():  # the sum overflowed, the mean cannot
            mean = np.add.reduceat(values / np.repeat(counts, counts), starts)
            mean = np.minimum(np.maximum(mean, low), high)  # rounding may overflow once more
        deviation = values - np.repeat(mean, counts)
        error = np.add.reduceat(deviation, starts) / counts  # rounding error of the mean
        m2 = np.add.reduceat(deviation * deviation, starts)
    mean = np.where(np.isfinite(error), mean + error, mean)
    if is_beyond(m2, low, high):
        m2 = _wide_m2(values, starts, counts, exponents(low, high))
    return Summary(counts, mean, m2, low, high)


def _wide_m2(values: Floats, starts: Ints, counts: Ints, units: Ints) -> Floats:
    """The sums of squares, in units in which nothing overflows or underflows."""
    scaled = np.ldexp(values, -np.repeat(units, counts))
    mean = np.add.reduceat(scaled, starts) / counts
    deviation = scaled - np.repeat(mean, counts)
    error = np.add.reduceat(deviation, starts)
    m2 = np.add.reduceat(deviation * deviation, starts) - error * error / counts
    return packed_m2(np.maximum(m2, 0.0), units)
