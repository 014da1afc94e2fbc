"""Rows of an export, in columns. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aggregator.decode import Columns
from tributary.history.raw_rows import Batch
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
    keep = np.repeat(is_covered, columns.repeats) & _in_span(columns.times_ms, spec)
    if readings is not None:
        keep &= columns.reading < readings
    positions = np.repeat(np.arange(len(columns.series)), columns.repeats)[keep]
    return Rows(columns.series, positions, columns.times_ms[keep], [columns.values[keep]])


def of_raw(batch: Batch, spec: Spec, forgotten: Mapping[str, tuple[int, int]]) -> Rows:
    """The rows of raw files that are part of an export.

    Args:
        batch: the rows.
        spec: of the export.
        forgotten: device → the entry at which it was forgotten.
    """
    is_covered = np.fromiter((spec.covers(*s) for s in batch.series), np.bool_, len(batch.series))
    keep = is_covered[batch.positions] & _in_span(batch.times_ms, spec)
    for device in {device for device, _ in batch.series} & forgotten.keys():
        is_it = np.fromiter((s[0] == device for s in batch.series), np.bool_, len(batch.series))
        keep &= ~is_it[batch.positions] | batch.behind(forgotten[device])
    rows = batch.where(keep)
    return Rows(rows.series, rows.positions, rows.times_ms, [rows.values])


def _in_span(times_ms: Ints, spec: Spec) -> NDArray[np.bool_]:
    low = np.iinfo(np.int64).min if spec.from_ms is None else spec.from_ms
    high = np.iinfo(np.int64).max if spec.to_ms is None else spec.to_ms
    found: NDArray[np.bool_] = (times_ms >= low) & (times_ms < high)
    return found
