"""Statistics of minutes for the benchmark of the history: 60 readings each, of temperatures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tributary.history.slots import HOUR_MS, MINUTE_MS, Slots
from tributary.model.aggregate import CELL

END_MS = 1_796_083_200_000  # 2026-12-01
METRIC = "engine_temperature"
_PER_HOUR = HOUR_MS // MINUTE_MS


def device(number: int) -> str:
    """The name of a device."""
    return f"car-{number:04}"


def block(series: int, start_ms: int, minutes: int) -> Slots:
    """The minutes of every series from a time on; the same at every call."""
    rng = np.random.default_rng([series, start_ms // MINUTE_MS])
    rows = series * minutes
    cells = np.empty(rows, CELL)
    cells["count"] = 60
    cells["mean"] = 90 + rng.normal(0, 2, rows)
    cells["m2"] = rng.gamma(30, 2, rows)
    cells["min"] = np.round(cells["mean"] - 2 - rng.random(rows), 1)
    cells["max"] = np.round(cells["mean"] + 2 + rng.random(rows), 1)
    slots = start_ms + np.arange(minutes) * MINUTE_MS
    names = [(device(number), METRIC) for number in range(series)]
    return Slots(names, np.repeat(np.arange(series), minutes), np.tile(slots, series), cells)


def hours(series: int, first: int, last: int, step: int) -> Iterator[Slots]:
    """The minutes of the hours `first` … `last` before `END_MS`, `step` hours at a time."""
    for number in range(first, last, -step):
        yield block(series, END_MS - number * HOUR_MS, step * _PER_HOUR)
