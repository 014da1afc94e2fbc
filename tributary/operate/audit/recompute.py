"""Statistics of readings from their definitions, rounded once. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tributary.model.aggregate import Records, relative_m2

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Stored statistics are merged from batches, and closed slots keep the deviation in single
# precision. Each late batch rounds it again, up or down, so that the error grows with the root of
# their number. The tolerances are fractions of the largest magnitude, and of the deviation.
_MAGNITUDE_TOLERANCE = 1e-9
_DEVIATION_TOLERANCE = 1e-6
_ROUNDING = 4 * 2.0**-24  # times the root of the number of batches; four times its deviation
_BATCHES_MAX = 1_000_000


class Exact(NamedTuple):
    """Statistics of at least one reading."""

    readings: int
    mean: float
    deviation: float  # root of the mean squared deviation from the mean
    low: float
    high: float

    def shown(self) -> dict[str, float]:
        """As JSON."""
        names = ("count", "mean", "deviation", "min", "max")
        return dict(zip(names, self, strict=True))


def summarize(values: Sequence[float]) -> Exact:
    """The statistics of finite numbers of any magnitude."""
    low, high = min(values), max(values)
    unit = math.frexp(max(abs(low), abs(high)))[1]
    scaled = [math.ldexp(value, -unit) for value in values]  # between -1 and 1: no sum overflows
    mean = math.fsum(scaled) / len(scaled)
    squares = math.fsum((value - mean) * (value - mean) for value in scaled)
    deviation = math.sqrt(squares / len(scaled))
    return Exact(len(values), math.ldexp(mean, unit), math.ldexp(deviation, unit), low, high)


def from_cell(cell: Any) -> Exact | None:
    """A stored summary with the fields of `aggregate.CELL`; None if it is empty."""
    count, low, high = int(cell["count"]), float(cell["min"]), float(cell["max"])
    if count == 0:
        return None
    magnitude = max(abs(low), abs(high))
    unit = math.frexp(magnitude)[1] if math.isfinite(magnitude) else 0
    relative = float(relative_m2(cell["m2"], low, high, unit))
    deviation = math.sqrt(relative / count) if relative >= 0 else math.nan
    with np.errstate(over="ignore"):
        return Exact(count, float(cell["mean"]), float(np.ldexp(deviation, unit)), low, high)


def are_equal(expected: Exact | None, found: Exact | None) -> bool:
    """Whether they differ by rounding at most; counts and extremes do not."""
    if expected is None or found is None:
        return expected is found
    if (expected.readings, expected.low, expected.high) != (found.readings, found.low, found.high):
        return False
    rounding = _MAGNITUDE_TOLERANCE * max(abs(expected.low), abs(expected.high))
    batches = min(expected.readings, _BATCHES_MAX)
    relative = (_DEVIATION_TOLERANCE + _ROUNDING * math.sqrt(batches)) * expected.deviation
    return bool(
        abs(found.mean / 2 - expected.mean / 2) <= rounding / 2
        and abs(found.deviation / 2 - expected.deviation / 2) <= rounding / 2 + relative / 2
    )


def by_slot(
    times_ms: Ints, values: Floats, slot_ms: int, first_ms: int, end_ms: int
) -> Iterator[tuple[int, Exact]]:
    """The start and the statistics of each slot with readings in [first_ms, end_ms).

    Args:
        times_ms: of the readings, in order.
        values: of the readings.
        slot_ms: length of a slot.
        first_ms: the start of a slot.
        end_ms: the end of one.
    """
    begin, end = np.searchsorted(times_ms, [first_ms, end_ms])
    slots = times_ms[begin:end] // slot_ms
    edges = [*(np.flatnonzero(np.diff(slots)) + 1).tolist(), len(slots)]
    numbers = values[begin:end].tolist()
    first = 0
    for edge in edges if len(slots) else []:
        yield int(slots[first]) * slot_ms, summarize(numbers[first:edge])
        first = edge


def cells_by_slot(starts_ms: Sequence[int], cells: Records) -> dict[int, Exact]:
    """Stored summaries that are not empty, by the start of their slot."""
    found = ((start, from_cell(cell)) for start, cell in zip(starts_ms, cells, strict=True))
    return {start: exact for start, exact in found if exact is not None}
