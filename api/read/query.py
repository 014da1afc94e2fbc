"""Statistics of a series from its packed aggregates, at a moment. Pure."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tributary.model import reading
from tributary.model.aggregate import (
    OVERFLOW_CELL,
    Layout,
    Records,
    exponents,
    mean,
    opened,
    relative_m2,
)
from tributary.model.window import Window

_NO_CELL = (0, 0.0, 0.0, 0.0, 0.0)


class Series(NamedTuple):
    """The aggregates of one series."""

    state: Records
    rings: Records
    overflow: Records  # slots that the rings have no cell for

    @property
    def newest_ms(self) -> int:
        """Event time of the newest reading."""
        return int(self.state["times_ms"][-1])


def unpack(layout: Layout, state: bytes, rings: bytes | None) -> Series:
    """A series from the values of its two hash fields; a series without closed slots has one."""
    ring, overflow = (layout.no_rings, b"") if rings is None else layout.split(rings)
    beyond = np.frombuffer(overflow, OVERFLOW_CELL)
    return Series(np.frombuffer(state, layout.state)[0], ring, beyond)


def average(series: Series) -> float:
    """Mean of the newest readings."""
    count = min(int(series.state["count"]), len(series.state["values"]))
    return mean(series.state["values"][-count:].tolist())


def statistics(cells: Records) -> dict[str, Any]:
    """Count, mean, stddev (n - 1), min and max of summaries taken together."""
    cells = cells[cells["count"] > 0]
    count = int(cells["count"].sum())
    if count == 0:
        return {"count": 0, "mean": None, "stddev": None, "min": None, "max": None}
    low, high = float(cells["min"].min()), float(cells["max"].max())
    unit = exponents(low, high)
    means = np.ldexp(cells["mean"], -unit)
    middle = float((means * (cells["count"] / count)).sum())
    spread = means - middle
    within = relative_m2(cells["m2"], cells["min"], cells["max"], unit)
    m2 = float(within.sum() + (cells["count"] * spread * spread).sum())
    return {
        "count": count,
        "mean": _within(
            float(np.ldexp(middle, unit)) if len(cells) > 1 else float(cells["mean"][0]), low, high
        ),
        "stddev": _stddev(m2, count, int(unit)) if m2 > 0 or low == high else None,
        "min": low,
        "max": high,
    }


def _stddev(m2: float, count: int, unit: int) -> float | None:
    """Of a sum of squares in units of 4 ** unit; None if there is none or it is not a double."""
    if count < 2 or not math.isfinite(m2):
        return None
    with np.errstate(over="ignore"):
        stddev = float(np.ldexp(math.sqrt(m2 / (count - 1)), unit))
    return stddev if math.isfinite(stddev) else None


def _within(middle: float, low: float, high: float) -> float:
    """A mean without what rounding has added beyond the extremes."""
    return min(max(middle, low), high)


def total(series: Series) -> dict[str, Any]:
    """Statistics of every reading of the series."""
    return statistics(np.atleast_1d(series.state)[["count", "mean", "m2", "min", "max"]])


def window(
    layout: Layout, series: Series, number: int, now_ms: int, length_ms: int | None = None
) -> dict[str, Any]:
    """Statistics over the slots that overlap [now - length, now], and the time they cover.

    Slots stand still while time goes on, so a silent sensor's window empties by itself. A slot
    counts whole: that of `now` with readings of it that are ahead of the clock, up to its end.

    Args:
        layout: of the deployment.
        series: to look into.
        number: of the window whose slots to take.
        now_ms: the moment of asking.
        length_ms: at most that of the window, which it is if not given.
    """
    width = layout.windows[number]
    length_ms = width.length_ms if length_ms is None else length_ms
    first, last = (now_ms - length_ms) // width.slot_ms, now_ms // width.slot_ms
    cells, held = _slots(series, width, number)
    covered = cells[(held >= first) & (held <= last)]
    return {
        **statistics(covered),
        "from": reading.rfc3339(max(0, first * width.slot_ms)),
        "to": reading.rfc3339(now_ms),
    }


def history(
    layout: Layout, series: Series, number: int, now_ms: int, length_ms: int
) -> list[dict[str, Any]]:
    """The slots that overlap [now - length, now] one by one, empty ones too, oldest first."""
    width = layout.windows[number]
    first, last = max(0, now_ms - length_ms) // width.slot_ms, now_ms // width.slot_ms
    cells, held = _slots(series, width, number)
    found = dict(zip(held.tolist(), cells.tolist(), strict=True))
    return [
        {"from": reading.rfc3339(slot * width.slot_ms), **_slot(found.get(slot, _NO_CELL))}
        for slot in range(first, last + 1)
    ]


def narrowest(layout: Layout, length_ms: int) -> int | None:
    """Number of the shortest window that is as long as that; None if there is none."""
    for number, width in enumerate(layout.windows):
        if width.length_ms >= length_ms:
            return number
    return None


def _slot(cell: tuple[int, float, float, float, float]) -> dict[str, Any]:
    count, middle, _m2, low, high = cell
    if count == 0:
        return {"count": 0, "mean": None, "min": None, "max": None}
    return {"count": count, "mean": _within(middle, low, high), "min": low, "max": high}


def _slots(series: Series, width: Window, number: int) -> tuple[Records, np.ndarray]:
    """Every slot that is kept of a window, with its number."""
    open_slot = series.newest_ms // width.slot_ms
    held = np.arange(open_slot - width.slots, open_slot + 1)
    closed = series.rings[width.name][held[:-1] % width.slots]
    beyond = series.overflow[series.overflow["window"] == number]
    cells = [opened(beyond["cell"]), opened(closed), series.state["open"][number : number + 1]]
    return np.concatenate(cells), np.concatenate([beyond["slot"], held])
