"""Rows of an export, in columns. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aggregator.decode import Columns
from tributary.model.export import Spec

READINGS: tuple[str, tuple[str, ...]] = ("recorded_at", ("value",))
SLOTS: tuple[str, tuple[str, ...]] = ("from", ("count", "mean", "stddev", "min", "max"))
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Series = tuple[str, str]  # device and metric


class Rows(NamedTuple):
    """Rows with a series, a time and numbers; NaN stands for no number."""

    series: list[Series]
    positions: Ints  # in `series`, per row
    times_ms: Ints  # UTC
    numbers: list[Ints | Floats]  # a column for each name

    def part(self, start: int, stop: int) -> Rows:
        """Some of the rows."""
        numbers = [column[start:stop] for column in self.numbers]
        return Rows(self.series, self.positions[start:stop], self.times_ms[start:stop], numbers)


def of_readings(
    columns: Columns,
    spec: Spec,
    readings: int | None = None,
    forgotten: Collection[str] = frozenset(),
) -> Rows:
    """The rows of readings that are part of an export.

    Args:
        columns: the readings.
        spec: of the export.
        readings: only of the first ones; None: of all.
        forgotten: devices to leave out.
    """
    is_covered = np.fromiter(
        (spec.covers(*one) and one[0] not in forgotten for one in columns.series),
        np.bool_,
        len(columns.series),
    )
    keep = np.repeat(is_covered, columns.repeats)
    if spec.from_ms is not None:
        keep &= columns.times_ms >= spec.from_ms
    if spec.to_ms is not None:
        keep &= columns.times_ms < spec.to_ms
    if readings is not None:
        keep &= columns.reading < readings
    positions = np.repeat(np.arange(len(columns.series)), columns.repeats)[keep]
    return Rows(columns.series, positions, columns.times_ms[keep], [columns.values[keep]])
