"""Brute-force implementations of the definitions, for comparison with the fold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from tributary.model.window import Window


class Reading(NamedTuple):
    """One value of a series; the order of a sequence is the order of arrival."""

    series: int
    time_ms: int
    value: float


def newest(readings: Sequence[Reading], count: int) -> list[float]:
    """Values of the newest readings by event time; of equal times the last arrivals."""
    ordered = sorted(enumerate(readings), key=lambda pair: (pair[1].time_ms, pair[0]))
    return [reading.value for _, reading in ordered[-count:]]


def late(readings: Sequence[Reading], windows: Sequence[Window]) -> list[int]:
    """Indexes of readings whose slot had left every window when they arrived."""
    found, newest_ms = [], -1
    for place, reading in enumerate(readings):
        newest_ms = max(newest_ms, reading.time_ms)
        if all(reading.time_ms // w.slot_ms < newest_ms // w.slot_ms - w.slots for w in windows):
            found.append(place)
    return found if windows else []


def slot_values(readings: Sequence[Reading], window: Window) -> dict[int, list[float]]:
    """Values of each slot that is still in the window, by slot number."""
    last = max(r.time_ms for r in readings) // window.slot_ms
    slots: dict[int, list[float]] = {s: [] for s in range(last - window.slots, last + 1)}
    for reading in readings:
        if reading.time_ms // window.slot_ms in slots:
            slots[reading.time_ms // window.slot_ms].append(reading.value)
    return slots


def statistics(values: Sequence[float]) -> dict[str, Any]:
    """Count, mean, sample standard deviation, min and max."""
    if not values:
        return {"count": 0, "mean": None, "stddev": None, "min": None, "max": None}
    mean = math.fsum(values) / len(values)
    spread = math.fsum((v - mean) ** 2 for v in values)
    stddev = math.sqrt(spread / (len(values) - 1)) if len(values) > 1 else None
    return {
        "count": len(values),
        "mean": mean,
        "stddev": stddev,
        "min": min(values),
        "max": max(values),
    }
