"""The statistics of an export, from the history: by series, then by time."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from jobs.export.rows import SLOTS, Floats, Rows
from tributary.errors import Misconfigured, NoHistory
from tributary.history import reads, schema, store
from tributary.history.database import Database
from tributary.history.slots import DAY_MS, HOUR_MS, MINUTE_MS, Slots, no_slots, widen
from tributary.model.aggregate import Records, exponents, relative_m2
from tributary.model.export import Spec
from tributary.operate.exports import Covered
from tributary.settings import Settings

_NAMES_PER_READ = 5_000
_END_MS = 253_402_300_800_000  # the year 10000


class History:
    """What the history has now; slots that are longer than those stored are merged.

    A slot begins at a multiple of its length since 1970, and counts as a whole: the export has
    those that overlap its time span.
    """

    columns = SLOTS

    def __init__(self, settings: Settings, spec: Spec) -> None:
        """Raises `Misconfigured` if there is no history, `Unavailable` if the database is."""
        self._spec = spec
        self._slot_ms = spec.slot_ms or HOUR_MS
        try:
            self._db = Database.open(settings, migrate=False)
        except NoHistory as error:
            raise Misconfigured(f"slots are in the history, and {error}") from None

    def pieces(self) -> Iterator[tuple[Rows, float]]:
        """Rows, and which share of the series has been read before them.

        Raises:
            Unavailable: the database is.
        """
        try:
            total, done, kept = self._count_series(), 0, no_slots()
            for page in self._pages():
                done += len(page.series)
                if not len(page.cells):
                    yield _rows(page), min(1.0, done / total)
                    continue
                slots = widen(_joined(kept, page), self._slot_ms)
                # The last slot may continue on the next page.
                yield _rows(_part(slots, 0, len(slots.cells) - 1)), min(1.0, done / total)
                kept = _part(slots, len(slots.cells) - 1, len(slots.cells))
            yield _rows(kept), 1.0
        finally:
            self._db.close()

    def covered(self) -> Covered:
        """Which readings are in the history by their time of arrival: since the last gap."""
        # pieces has closed the connections; the engine opens others.
        try:
            gaps = reads.gaps(self._db, 0, sys.maxsize)
            ids = [position.entry_id for position in store.positions(self._db).values()]
        finally:
            self._db.close()
        reached = [int(id_.partition("-")[0]) for id_ in ids if id_ != "0-0"]
        return Covered(max((gap.to_ms for gap in gaps), default=None), min(reached, default=None))

    def _pages(self) -> Iterator[Slots]:
        """The slots that are part of the export; a device that two patterns cover once.

        A page may be empty, so that somebody who waits for the next one sees that work goes on.
        """
        spec, slot_ms = self._spec, self._slot_ms
        stored_ms = next(each for each in (DAY_MS, HOUR_MS, MINUTE_MS) if slot_ms % each == 0)
        from_ms = 0 if spec.from_ms is None else spec.from_ms // slot_ms * slot_ms
        to_ms = _END_MS if spec.to_ms is None else -(-spec.to_ms // slot_ms) * slot_ms
        for number, one in enumerate(self._patterns):
            before = Spec(devices=self._patterns[:number]) if number else None
            for page in reads.read_many(
                self._db, one, spec.metrics or None, stored_ms, from_ms, to_ms
            ):
                is_part = [
                    spec.covers(*series) and (before is None or not before.covers(*series))
                    for series in page.series
                ]
                yield _where(page, np.array(is_part, np.bool_)[page.index])

    @property
    def _patterns(self) -> tuple[str, ...]:
        return (self._spec.within,) if self._spec.devices == ("*",) else self._spec.devices

    def _count_series(self) -> int:
        names = select(schema.series.c.device, schema.series.c.metric)
        with self._db.reading() as connection:
            rows = connection.execution_options(yield_per=_NAMES_PER_READ).execute(names)
            return max(1, sum(self._spec.covers(*row) for row in rows))


def _where(slots: Slots, keep: NDArray[np.bool_]) -> Slots:
    return Slots(slots.series, slots.index[keep], slots.slot_ms[keep], slots.cells[keep])


def _part(slots: Slots, start: int, stop: int) -> Slots:
    some = slice(start, stop)
    return Slots(slots.series, slots.index[some], slots.slot_ms[some], slots.cells[some])


def _joined(kept: Slots, page: Slots) -> Slots:
    """A page behind at most one slot that was kept of the page before."""
    if not len(kept.cells):
        return page
    name = kept.series[kept.index[0]]
    is_same = page.series[page.index[0]] == name
    series = page.series if is_same else [name, *page.series]
    first, index = (
        (page.index[:1], page.index) if is_same else (np.zeros(1, np.int64), page.index + 1)
    )
    return Slots(
        series,
        np.concatenate([first, index]),
        np.concatenate([kept.slot_ms, page.slot_ms]),
        np.concatenate([kept.cells, page.cells]),
    )


def _rows(slots: Slots) -> Rows:
    cells = slots.cells
    mean = np.clip(cells["mean"], cells["min"], cells["max"])  # rounding may exceed the extremes
    numbers = [cells["count"].astype(np.int64), mean, _stddev(cells), cells["min"], cells["max"]]
    return Rows(slots.series, slots.index, slots.slot_ms, numbers)


def _stddev(cells: Records) -> Floats:
    """Sample standard deviations; NaN where undefined or beyond a double."""
    units = exponents(cells["min"], cells["max"])
    m2 = relative_m2(cells["m2"], cells["min"], cells["max"], units)
    count = cells["count"].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        stddev: Floats = np.ldexp(np.sqrt(m2 / (count - 1)), units)
    is_known = (count > 1) & np.isfinite(stddev) & ((m2 > 0) | (cells["min"] == cells["max"]))
    return np.where(is_known, stddev, np.nan)
