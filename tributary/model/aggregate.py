"""What is kept of one series, and how it is packed in Redis.

`state` holds the totals, the newest readings by event time, and the open slot of each window.
`windows` holds the closed slots of each window as a ring: the slot number s of a window with n
slots stands in cell s % n, and the ring covers the n slots before the open one. The open slot
is the one that holds the newest reading, so neither needs a number of its own. Behind the rings
follow the slots that have left them early, because a reading was ahead of the clock: with their
window and number, and only while a window needs them.

Both are numpy records, little endian and packed: what the aggregator computes with is what
stands in Redis.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tributary.model.window import Window

Records = NDArray[np.void]

NO_TIME = -1  # before every time a reading can have

# Between these a sum of squares is kept as it is; beyond them, where it would overflow or lose
# digits, as a negative number: relative to the square of `exponents`, see `packed_m2`.
M2_MIN, M2_MAX = 1e-280, 1e290
_DEVIATION_MIN, _DEVIATION_MAX = 1.2e-38, 3.4e38  # of single precision

# A summary of some readings; see `merge` for the arithmetic.
_SUMMARY = (("mean", "<f8"), ("m2", "<f8"), ("min", "<f8"), ("max", "<f8"))
CELL = np.dtype([("count", "<u4"), *_SUMMARY])
# A closed slot is merged again only by late readings, so it can do with less: of m2 its root, in
# single precision (7 digits); beyond its range it is negative, in units of 2 ** `exponents`. 32
# bytes are also what lets the closed slots of the usual windows fit the allocator's 2 KiB.
CLOSED_CELL = np.dtype(
    [("count", "<u4"), ("deviation", "<f4"), ("mean", "<f8"), ("min", "<f8"), ("max", "<f8")]
)
# A closed slot that the ring of its series has no cell for: see `Layout.split`.
OVERFLOW_CELL = np.dtype([("window", "<u4"), ("slot", "<i8"), ("cell", CLOSED_CELL)])


class Layout:
    """The record types of a deployment with these windows and this average."""

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
        self.no_state = np.zeros((), self.state)
        self.no_state["times_ms"] = NO_TIME
        clear(self.no_state)
        clear(self.no_state["open"])
        self.no_rings = np.zeros((), self.rings)
        for window in windows:
            clear(self.no_rings[window.name])

    def split(self, packed: bytes) -> tuple[Records, bytes]:
        """The rings in the stored value of a series, and its `OVERFLOW_CELL` records, still packed.

        Most series have none of the latter: only a reading ahead of the clock makes some.
        """
        size = self.rings.itemsize
        return np.frombuffer(packed, self.rings, 1)[0], packed[size:]


def clear(records: Records) -> None:
    """Make summaries empty: no reading, and extremes that every reading replaces."""
    records["count"] = 0
    records["mean"] = 0.0
    records["deviation" if records.dtype == CLOSED_CELL else "m2"] = 0.0
    records["min"] = np.inf
    records["max"] = -np.inf


def closed(cells: Records) -> Records:
    """Open slots as they are kept once time has left them."""
    kept = _copied(cells, CLOSED_CELL)
    deviation = np.sqrt(np.abs(cells["m2"]))
    is_wide = (cells["m2"] < 0) | (deviation > _DEVIATION_MAX)
    is_wide |= (deviation < _DEVIATION_MIN) & (deviation > 0)
    if is_wide.any():
        own = exponents(cells["min"], cells["max"])
        with np.errstate(over="ignore", under="ignore"):  # of those that are kept as they are
            relative = np.where(cells["m2"] < 0, deviation, np.ldexp(deviation, -own))
        deviation = np.where(is_wide, -relative, deviation)
    kept["deviation"] = deviation
    return kept


def opened(cells: Records) -> Records:
    """Closed slots as something can be merged into them."""
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


class Summary(NamedTuple):
    """Summaries of groups of readings, as columns; no group is empty."""

    counts: NDArray[np.int64]
    mean: NDArray[np.float64]
    m2: NDArray[np.float64]  # sum of the squared deviations from the mean; see `packed_m2`
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
    variances" (1979). Nothing is ever subtracted again, so no error builds up.
    """
    before = into["count"].astype(np.float64)
    total = before + more.counts
    share = more.counts / total
    with np.errstate(over="ignore", invalid="ignore"):
        delta = more.mean - into["mean"]
        merged = into["mean"] + delta * share
        if not np.isfinite(merged).all():  # two means further apart than the largest double
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
    """Whether a sum of squares has overflowed or lost digits; 0 is right if all are equal."""
    if m2.min() >= M2_MIN and m2.max() <= M2_MAX:
        return False
    is_plain = (m2 >= M2_MIN) & (m2 <= M2_MAX)
    return bool((~is_plain & ((low < high) | (m2 != 0))).any())


def _wide_m2(into: Records, more: Summary) -> NDArray[np.float64]:
    """The sum of squares of `merge`, computed in units in which nothing over- or underflows."""
    before = into["count"].astype(np.float64)
    units = np.maximum(exponents(into["min"], into["max"]), exponents(more.min, more.max))
    with np.errstate(over="ignore", under="ignore"):
        delta = np.ldexp(more.mean, -units) - np.ldexp(into["mean"], -units)
        between = delta * delta * (before * (more.counts / (before + more.counts)))
    relative = relative_m2(into["m2"], into["min"], into["max"], units)
    relative = relative + relative_m2(more.m2, more.min, more.max, units) + between
    return packed_m2(relative, units)


def packed_m2(relative: NDArray[np.float64], units: Any) -> NDArray[np.float64]:
    """A sum of squares as it is kept, from one in units of 4 ** units."""
    with np.errstate(over="ignore", under="ignore"):
        plain = np.ldexp(relative, 2 * units)
    is_plain = ((plain >= M2_MIN) & (plain <= M2_MAX)) | (relative == 0)
    return np.where(is_plain, plain, -relative)


def relative_m2(m2: Any, low: Any, high: Any, units: Any) -> NDArray[np.float64]:
    """A sum of squares in units of 4 ** units, from one as it is kept."""
    own = np.where(m2 < 0, exponents(low, high), 0)
    with np.errstate(over="ignore", under="ignore"):
        relative: NDArray[np.float64] = np.ldexp(np.abs(m2), 2 * (own - units))
    return relative


def exponents(low: Any, high: Any) -> Any:
    """Exponents of two of the largest magnitudes; of empty summaries the smallest there is."""
    magnitude = np.maximum(np.abs(low), np.abs(high))
    return np.where((magnitude > 0) & np.isfinite(magnitude), np.frexp(magnitude)[1], -1074)


_SPARE = 8  # powers of two: 256 of the largest double, scaled down by so many, can be added


def mean(values: list[float]) -> float:
    """Mean of some numbers, rounded once for the sum and once for the division, within them."""
    try:
        rounded = math.fsum(values) / len(values)
    except OverflowError:  # the sum is beyond the doubles, the mean is not
        rounded = math.ldexp(
            math.fsum(math.ldexp(v, -_SPARE) for v in values) / len(values), _SPARE
        )
    return min(max(rounded, min(values)), max(values))
