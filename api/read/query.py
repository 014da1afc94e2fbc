"""Computes statistics of a series from its packed aggregates. Pure; the time is an argument."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from api.read import bodies
from tributary.history.slots import merge_groups
from tributary.model import reading
from tributary.model.aggregate import (
    CELL,
    OVERFLOW_CELL,
    Layout,
    Records,
    exponents,
    mean,
    opened,
    relative_m2,
)
from tributary.model.counter import Counter
from tributary.model.groups import Ints
from tributary.model.quantiles import Quantiles
from tributary.model.window import Window

_Values = tuple[int, float | None, float | None, float | None, float | None]
_NO_VALUES: _Values = (0, None, None, None, None)


class Series(NamedTuple):
    """The aggregates of one series."""

    state: Records
    rings: Records
    overflow: Records  # slots for which the rings have no cell
    counter: Counter | None = None  # if its metric is one
    quantiles: Quantiles | None = None  # if its metric has them

    @property
    def newest_ms(self) -> int:
        """Event time of the newest reading."""
        return int(self.state["times_ms"][-1])


class Cells(NamedTuple):
    """Stored slots of one series."""

    begin_ms: Ints  # UTC
    cells: Records  # `aggregate.CELL`, none empty

    def plus(self, more: Cells) -> Cells:
        """The slots of both."""
        return Cells(
            np.concatenate([self.begin_ms, more.begin_ms]),
            np.concatenate([self.cells, more.cells]),
        )


NO_CELLS = Cells(np.empty(0, np.int64), np.empty(0, CELL))


def unpack(layout: Layout, state: bytes, rings: bytes | None) -> Series:
    """Unpack the two hash fields of a series; one without closed slots has no `rings`."""
    ring, overflow = (layout.no_rings, b"") if rings is None else layout.split(rings)
    beyond = np.frombuffer(overflow, OVERFLOW_CELL)
    return Series(np.frombuffer(state, layout.state)[0], ring, beyond)


def average(series: Series) -> float:
    """Mean of the newest readings."""
    count = min(int(series.state["count"]), len(series.state["values"]))
    return mean(series.state["values"][-count:].tolist())


def statistics(cells: Records) -> bodies.Statistics:
    """Merge summaries."""
    return bodies.Statistics(*_merged(cells))


def _merged(cells: Records) -> _Values:
    """Count, mean, stddev, min and max of summaries."""
    cells = cells[cells["count"] > 0]
    count = int(cells["count"].sum())
    if count == 0:
        return _NO_VALUES
    low, high = float(cells["min"].min()), float(cells["max"].max())
    unit = exponents(low, high)
    means = np.ldexp(cells["mean"], -unit)
    middle = float((means * (cells["count"] / count)).sum())
    spread = means - middle
    within = relative_m2(cells["m2"], cells["min"], cells["max"], unit)
    m2 = float(within.sum() + (cells["count"] * spread * spread).sum())
    mean_ = float(np.ldexp(middle, unit)) if len(cells) > 1 else float(cells["mean"][0])
    stddev = _stddev(m2, count, int(unit)) if m2 > 0 or low == high else None
    return count, _clamped(mean_, low, high), stddev, low, high


def _stddev(m2: float, count: int, unit: int) -> float | None:
    """From a sum of squares in units of 4 ** unit; None if undefined or not a finite double."""
    if count < 2 or not math.isfinite(m2):
        return None
    with np.errstate(over="ignore"):
        stddev = float(np.ldexp(math.sqrt(m2 / (count - 1)), unit))
    return stddev if math.isfinite(stddev) else None


def _clamped(mean_: float, low: float, high: float) -> float:
    """Remove the rounding error of a mean beyond the extremes."""
    return min(max(mean_, low), high)


def total(series: Series) -> bodies.Statistics:
    """Statistics of all readings of the series."""
    return statistics(np.atleast_1d(series.state)[["count", "mean", "m2", "min", "max"]])


def window(layout: Layout, series: Series, number: int, now_ms: int) -> bodies.Window:
    """Statistics over the slots that overlap [now - length, now], and the time they cover.

    Slots are aligned to the clock, so the window of a silent sensor empties over time. A slot
    counts as a whole: that of `now` includes readings ahead of the clock, up to its end.
    """
    width = layout.windows[number]
    first, last = (now_ms - width.length_ms) // width.slot_ms, now_ms // width.slot_ms
    cells, held = _slots(series, width, number)
    values = _merged(cells[(held >= first) & (held <= last)])
    from_ = reading.rfc3339(max(0, first * width.slot_ms))
    return bodies.Window(*values, from_, reading.rfc3339(now_ms))


def over(cells: Records, from_ms: int, to_ms: int) -> bodies.Window:
    """Merge summaries; the time they cover is given."""
    return bodies.Window(*_merged(cells), reading.rfc3339(from_ms), reading.rfc3339(to_ms))


def in_window(
    layout: Layout, series: Series | None, number: int, begin_ms: int, end_ms: int
) -> Cells:
    """The slots of a window that begin in [begin_ms, end_ms)."""
    if series is None:
        return NO_CELLS
    slot_ms = layout.windows[number].slot_ms
    cells, held = _slots(series, layout.windows[number], number)
    wanted = (held >= begin_ms // slot_ms) & (held < end_ms // slot_ms) & (cells["count"] > 0)
    return Cells(held[wanted] * slot_ms, cells[wanted])


def slots(found: Cells, slot_ms: int) -> list[bodies.Slot]:
    """Merge stored slots into slots of `slot_ms`, oldest first; none is empty."""
    order = np.argsort(found.begin_ms, kind="stable")
    begin_ms = found.begin_ms[order] // slot_ms * slot_ms
    starts = np.flatnonzero(np.diff(begin_ms, prepend=-1))
    merged = merge_groups(found.cells[order], starts)
    return [
        bodies.Slot(reading.rfc3339(from_ms), count, _clamped(mean_, low, high), low, high)
        for from_ms, (count, mean_, _m2, low, high) in zip(
            begin_ms[starts].tolist(), merged.tolist(), strict=True
        )
    ]


def _slots(series: Series, width: Window, number: int) -> tuple[Records, np.ndarray]:
    """All stored slots of a window, and their numbers."""
    open_slot = series.newest_ms // width.slot_ms
    held = np.arange(open_slot - width.slots, open_slot + 1)
    closed = series.rings[width.name][held[:-1] % width.slots]
    beyond = series.overflow[series.overflow["window"] == number]
    cells = [opened(beyond["cell"]), opened(closed), series.state["open"][number : number + 1]]
    return np.concatenate(cells), np.concatenate([beyond["slot"], held])
