"""Readings for the tests of the history, and their statistics by brute force."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from tributary.history.slots import MINUTE_MS, Slots, summarize
from tributary.model.aggregate import Records, exponents

Reading = tuple[str, str, int, float]  # device, metric, time in UTC ms, value
Key = tuple[str, str, int]  # device, metric, start of the slot


def slots_of(readings: Sequence[Reading]) -> Slots:
    """The summaries of readings by minute."""
    return summarize(
        [(device, metric) for device, metric, _, _ in readings],
        np.ones(len(readings), np.int64),
        np.array([at_ms for _, _, at_ms, _ in readings], np.int64),
        np.array([value for *_, value in readings], np.float64),
        MINUTE_MS,
    )


def values_by_slot(readings: Sequence[Reading], slot_ms: int) -> dict[Key, list[float]]:
    found: dict[Key, list[float]] = defaultdict(list)
    for device, metric, at_ms, value in readings:
        found[device, metric, at_ms // slot_ms * slot_ms].append(value)
    return found


def by_key(slots: Slots) -> dict[Key, Records]:
    return {
        (*slots.series[series], int(slot)): cell
        for series, slot, cell in zip(slots.index, slots.slot_ms, slots.cells, strict=True)
    }


def check_cell(cell: Any, values: Sequence[float]) -> None:
    """Count, minimum and maximum are exact; mean and deviation but for rounding."""
    assert (cell["count"], cell["min"], cell["max"]) == (len(values), min(values), max(values))
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    unit = int(exponents(cell["min"], cell["max"]))
    scale = Fraction(2) ** unit
    least = Fraction(len(values), 2**1074)  # what rounding to a denormal number loses
    rounding = scale * Fraction(len(values), 2**50) + least
    assert abs(Fraction(float(cell["mean"])) - mean) <= rounding
    m2 = sum((value - mean) ** 2 for value in exact) / scale**2
    stored = float(cell["m2"])
    found = Fraction(-stored) if stored < 0 else Fraction(stored) / scale**2
    deviation, expected = math.sqrt(found / len(values)), math.sqrt(m2 / len(values))
    tolerance = 1e-13 * len(values) + 2 * float(least / scale)
    assert math.isclose(deviation, expected, rel_tol=1e-7, abs_tol=tolerance)


def check(found: dict[Key, Any], expected: dict[Key, list[float]]) -> None:
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        check_cell(found[key], values)
