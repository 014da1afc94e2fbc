"""Compares the rows of the history with readings, as of the position of the history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, func, select

from tributary.errors import Unavailable
from tributary.history import schema
from tributary.history.database import Database
from tributary.history.keep import keep_of
from tributary.history.schema import RESOLUTIONS, Resolution
from tributary.model import reading
from tributary.operate.audit.aggregates import Finding, Known
from tributary.operate.audit.collection import Name
from tributary.operate.audit.recompute import Exact, are_equal, by_slot, from_cell
from tributary.settings import Settings

SERIES_PER_READ = 50
_ROWS_MAX = 1_000_000  # of these series and one resolution
_ATTEMPTS = 5
_PRUNE_MS = 8 * 86_400_000  # old slots are removed up to a week late
_END_MS = 2**62


class Rows(NamedTuple):
    """Rows of some series, of one moment."""

    entry_id: str  # the last entry in the history
    gap_to_ms: int | None  # time of the entry behind the latest gap
    slots: dict[str, dict[Name, dict[int, Exact]]]  # by table, series and start of the slot


class HistoryReader:
    """Reads rows of one partition, with the position that they reach."""

    def __init__(self, db: Database, settings: Settings, partition: int) -> None:
        self._db = db
        self._partition = partition
        self._keep = keep_of(settings)

    def read(self, names: Sequence[Name], from_ms: int) -> Rows | None:
        """Rows of at most `SERIES_PER_READ` series that begin at or after a time.

        None: nothing of the partition is in the history yet.

        Raises:
            Unavailable: the database is, or it changes faster than it can be read.
        """
        for _ in range(_ATTEMPTS):
            with self._db.reading() as connection:
                position = self._position(connection)
                if position is None:
                    return None
                gap_to_ms = connection.scalar(
                    select(func.max(schema.gaps.c.to_ms)).where(
                        schema.gaps.c.partition == self._partition
                    )
                )
                slots = {
                    each.name: self._slots(connection, each, names, from_ms) for each in RESOLUTIONS
                }
                if self._position(connection) == position:  # else PostgreSQL shows later rows
                    return Rows(position, gap_to_ms, slots)
        raise Unavailable(
            f"the history of partition {self._partition} changed {_ATTEMPTS} times while it was "
            "read; run the audit again"
        )

    def first_ms(self, resolution: Resolution, now_ms: int) -> int:
        """The start of the first slot that cannot have been removed."""
        keep_ms = self._keep[RESOLUTIONS.index(resolution)]
        return 0 if keep_ms is None else now_ms - keep_ms + _PRUNE_MS

    def _position(self, connection: Connection) -> str | None:
        columns = schema.positions.c
        query = select(columns.entry_id).where(columns.partition == self._partition)
        return connection.scalar(query)

    def _slots(
        self, connection: Connection, resolution: Resolution, names: Sequence[Name], from_ms: int
    ) -> dict[Name, dict[int, Exact]]:
        columns = schema.series.c
        devices = {device for device, _ in names}
        query = select(columns.id, columns.device, columns.metric).where(
            columns.device.in_(devices)
        )
        wanted = set(names)
        found = {
            number: (device, metric)
            for number, device, metric in connection.execute(query)
            if (device, metric) in wanted
        }
        if not found:
            return {}
        slots: dict[Name, dict[int, Exact]] = {}
        for number, slot_ms, cell in self._rows(connection, resolution, sorted(found), from_ms):
            exact = from_cell(cell)
            if exact is not None:
                slots.setdefault(found[number], {})[slot_ms] = exact
        return slots

    def _rows(
        self, connection: Connection, resolution: Resolution, numbers: list[int], from_ms: int
    ) -> Iterator[tuple[int, int, Any]]:
        """Number of the series, start and cell of each slot."""
        ids = np.array(numbers)
        rows = self._db.dialect.select(connection, resolution, ids, from_ms, _END_MS, _ROWS_MAX)
        if len(rows.cells) < _ROWS_MAX:
            yield from zip(rows.series_id.tolist(), rows.slot_ms.tolist(), rows.cells, strict=True)
        elif len(numbers) == 1:
            raise Unavailable(
                f"a series has {_ROWS_MAX} {resolution.name} or more in the history since "
                f"{reading.rfc3339(from_ms)}; audit fewer hours with --hours"
            )
        else:
            for part in (numbers[::2], numbers[1::2]):
                yield from self._rows(connection, resolution, part, from_ms)


class Span(NamedTuple):
    """Which slots are compared."""

    first_ms: int
    restarted_ms: int  # a slot that begins before it may have more readings than the stream


def compare(
    resolution: Resolution, found: dict[int, Exact], known: Known, span: Span
) -> tuple[list[Finding], int, int]:
    """The differences of one series and resolution, how many slots were compared, and surpluses.

    Those are slots with more readings than the stream: Redis may have lost them.
    """
    size = resolution.slot_ms
    first_ms = max(-(-span.first_ms // size) * size, known.first_slot_ms(size))
    expected = dict(by_slot(known.times_ms, known.values, size, first_ms, _END_MS))
    found = {at: exact for at, exact in found.items() if at >= first_ms}
    surplus = {
        at
        for at, exact in found.items()
        if at < span.restarted_ms
        and exact.readings > (expected[at].readings if at in expected else 0)
    }
    both = sorted((found.keys() | expected.keys()) - surplus)
    different = [*_different(resolution.name, both, expected, found)]
    return different, len(both), len(surplus)


def _different(
    table: str, slots: Sequence[int], expected: dict[int, Exact], found: dict[int, Exact]
) -> Iterator[Finding]:
    for at in slots:
        one, other = expected.get(at), found.get(at)
        if not are_equal(one, other):
            shown = [None if each is None else each.shown() for each in (one, other)]
            yield Finding(table, reading.rfc3339(at), *shown)
