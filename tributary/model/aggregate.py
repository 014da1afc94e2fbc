"""The aggregates of one series, and their binary format in Redis.

`state` contains the totals, the newest readings by event time, and the open slot of each window.
`windows` contains the closed slots of each window as a ring: slot number s of a window with n
slots is in cell s % n, and the ring covers the n slots before the open one. The open slot is the
one of the newest reading, so neither stores its number. The rings are followed by slots that
left them early because a reading was ahead of the clock, with their window and number, as long
as a window needs them.

Both are packed little-endian numpy records: the aggregator computes with the bytes that are
stored in Redis.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tributary.model.window import Window

Records = NDArray[np.void]

NO_TIME = -1  # earlier than the time of any reading

# Within these bounds a sum of squares is stored as is; outside them, where it would overflow or
# lose digits, as a negative number relative to the square of `exponents`, see `packed_m2`.
M2_MIN, M2_MAX = 1e-280, 1e290
_DEVIATION_MIN, _DEVIATION_MAX = 1.2e-38, 3.4e38  # of single precision

# A summary of some readings; see `merge` for the arithmetic.
_SUMMARY = (("mean", "<f8"), ("m2", "<f8"), ("min", "<f8"), ("max", "<f8"))
CELL = np.dtype([("count", "<u4"), *_SUMMARY])
# Only late readings are merged into a closed slot, so it stores the square root of m2 in single
# precision (7 digits); outside its range it is negative, in units of 2 ** `exponents`. With 32
# bytes per slot, the rings of the default windows also fit a 2 KiB block of the allocator.
CLOSED_CELL = np.dtype(
    [("count", "<u4"), ("deviation", "<f4"), ("mean", "<f8"), ("min", "<f8"), ("max", "<f8")]
)
# A closed slot outside the ring of its series: see `Layout.split`.
OVERFLOW_CELL = np.dtype([("window", "<u4"), ("slot", "<i8"), ("cell", CLOSED_CELL)])


class Layout:
    """The record types for given windows and a given length of the average."""

    def __init__(self, windows: tuple[Window, ...], average_over: int) -> None:
        self.windows = windows
        self.average_over = average_over
        self.state = np.dtype(
            [
                ("count", "<i8"),
                *_SUMMARY,
                ("times_ms", "<i8", (average_over,)),
                ("values", "<f8", (average_over,)),
                ("open", CELL, (len(windows),)),
            ]
        )
        self.rings = np.dtype([(w.name, CLOSED_CELL, (w.slots,)) for w in windows])
        self.slots_ms = np.array([window.slot_ms for window in windows], np.int64)
        # The cells of all windows are numbered through: the first one of each, and the total.
        self.first_cells = np.cumsum([0, *(window.slots for window in windows)])
        self.no_state = np.zeros((), self.state)
        self.no_state["times_ms"] = NO_TIME
        clear(self.no_state)
        clear(self.no_state["open"])
        self.no_rings = np.zeros((), self.rings)
        for window in windows:
            clear(self.no_rings[window.name])

    def split(self, packed: bytes) -> tuple[Records, bytes]:
        """Split a stored value into the rings and its `OVERFLOW_CELL` records, still packed.

        Most series have none of the latter, which only readings ahead of the clock create.
        """
        size = self.rings.itemsize
        return np.frombuffer(packed, self.rings, 1)[0], packed[size:]


def clear(records: Records) -> None:
    """Reset summaries: no readings, and extremes that any reading replaces."""
    records["count"] = 0
    records["mean"] = 0.0
    records["deviation" if records.dtype == CLOSED_CELL else "m2"] = 0.0
    records["min"] = np.inf
    records["max"] = -np.inf


def closed(cells: Records) -> Records:
    """Convert open slots to the format of closed ones."""
    kept = _copied(cells, CLOSED_CELL)
    deviation = np.sqrt(np.abs(cells["m2"]))
    is_wide = (cells["m2"] < 0) | (deviation > _DEVIATION_MAX)
    is_wide |= (deviation < _DEVIATION_MIN) & (deviation > 0)
    if is_wide.any():
        own = exponents(cells["min"], cells["max"])
        with np.errstate(over="ignore", under="ignore"):  # of values that are stored as is
            relative = np.where(cells["m2"] < 0, deviation, np.ldexp(deviation, -own))
        deviation = np.where(is_wide, -relative, deviation)
    kept["deviation"] = deviation
    return kept


def opened(cells: Records) -> Records:
    """Convert closed slots to the format of open ones, to merge readings into them."""
    open_cells = _copied(cells, CELL)
    deviation = cells["deviation"].astype(np.float64)
    m2 = deviation * deviation
    if (deviation < 0).any():
        m2 = np.where(deviation < 0, packed_m2(m2, exponents(cells["min"], cells["max"])), m2)
    open_cells["m2"] = m2
    return open_cells


def _copied(cells: Records, record: np.dtype[np.void]) -> Records:
    copy = np.empty(cells.shape, record)
    for name in ("count", "mean", "min", "max"):
        copy[name] = cells[name]
    return copy


def take(records: Records, rows: NDArray[np.int64]) -> Records:
    """Copies of rows of a table: `records[rows]`, ten times as fast."""
    return records.take(rows, axis=0)


def put(records: Records, rows: NDArray[np.int64], part: Records) -> None:
    """Write rows back to a contiguous table: `records[rows] = part`, ten times as fast."""
    whole = _whole(records.itemsize)  # not field by field
    records.view(whole)[rows] = part.view(whole)


@cache
def _whole(size: int) -> np.dtype[np.void]:
    """An opaque record of `size` bytes."""
    return np.dtype(f"V{size}")


class Summary(NamedTuple):
    """Summaries of groups of readings, as columns; no group is empty."""

    counts: NDArray[np.int64]
    mean: NDArray[np.float64]
    m2: NDArray[np.float64]  # sum of squared deviations from the mean; see `packed_m2`
    min: NDArray[np.float64]
    max: NDArray[np.float64]

    def at(self, index: Any) -> Summary:
        """The same index of every column."""
        return Summary(
            self.counts[index], self.mean[index], self.m2[index], self.min[index], self.max[index]
        )


def merge(into: Records, more: Summary) -> None:
    """Merge summaries into the records of others, element by element.

    Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    variances" (1979). Nothing is subtracted, so errors do not accumulate.
    """
    before = into["count"].astype(np.float64)
    total = before + more.counts
    share = more.counts / total
    with np.errstate(over="ignore", invalid="ignore"):
        delta = more.mean - into["mean"]
        merged = into["mean"] + delta * share
        if not np.isfinite(merged).all():  # the difference of the means overflows
            merged = into["mean"] * (before / total) + more.mean * share
        held = into["m2"]
        m2 = held + more.m2 + delta * delta * (before * share)
    low, high = np.minimum(into["min"], more.min), np.maximum(into["max"], more.max)
    if m2.size and (held.min() < 0 or more.m2.min() < 0 or is_beyond(m2, low, high)):
        m2 = _wide_m2(into, more)
    into["m2"] = m2
    into["mean"] = merged
    into["count"] += more.counts.astype(into["count"].dtype)
    into["min"] = low
    into["max"] = high


def is_beyond(m2: Any, low: Any, high: Any) -> bool:
    """Whether a sum of squares has overflowed or lost digits; 0 is correct for equal values."""
    if m2.min() >= M2_MIN and m2.max() <= M2_MAX:
        return False
    is_plain = (m2 >= M2_MIN) & (m2 <= M2_MAX)
    return bool((~is_plain & ((low < high) | (m2 != 0))).any())


def _wide_m2(into: Records, more: Summary) -> NDArray[np.float64]:
    """The sum of squares of `merge`, in units that neither overflow nor underflow."""
    before = into["count"].astype(np.float64)
    units = np.maximum(exponents(into["min"], into["max"]), exponents(more.min, more.max))
    with np.errstate(over="ignore", under="ignore"):
        delta = np.ldexp(more.mean, -units) - np.ldexp(into["mean"], -units)
        between = delta * delta * (before * (more.counts / (before + more.counts)))
    relative = relative_m2(into["m2"], into["min"], into["max"], units)
    relative = relative + relative_m2(more.m2, more.min, more.max, units) + between
    return packed_m2(relative, units)


def packed_m2(relative: NDArray[np.float64], units: Any) -> NDArray[np.float64]:
    """The stored form of a sum of squares given in units of 4 ** units."""
    with np.errstate(over="ignore", under="ignore"):
        plain = np.ldexp(relative, 2 * units)
    is_plain = ((plain >= M2_MIN) & (plain <= M2_MAX)) | (relative == 0)
    return np.where(is_plain, plain, -relative)


def relative_m2(m2: Any, low: Any, high: Any, units: Any) -> NDArray[np.float64]:
    """The sum of squares in units of 4 ** units, from its stored form."""
    own = np.where(m2 < 0, exponents(low, high), 0)
    with np.errstate(over="ignore", under="ignore"):
        relative: NDArray[np.float64] = np.ldexp(np.abs(m2), 2 * (own - units))
    return relative


def exponents(low: Any, high: Any) -> Any:
    """Binary exponents of the largest magnitudes; the minimum for empty summaries."""
    magnitude = np.maximum(np.abs(low), np.abs(high))
    return np.where((magnitude > 0) & np.isfinite(magnitude), np.frexp(magnitude)[1], -1074)


_SPARE = 8  # scaled down by 2 ** 8, 256 of the largest double can be added


def mean(values: list[float]) -> float:
    """Mean of numbers, rounded once for the sum and once for the division, within their range."""
    try:
        rounded = math.fsum(values) / len(values)
    except OverflowError:  # the sum overflows, the mean does not
        rounded = math.ldexp(
            math.fsum(math.ldexp(v, -_SPARE) for v in values) / len(values), _SPARE
        )
    return min(max(rounded, min(values)), max(values))
