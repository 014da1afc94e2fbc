"""Writes to the history: summaries and the position they reach, in one transaction.

A partition has one writer at a time, whoever it is: its transaction has the row of the position
locked. So a run that is killed, repeated or doubled leaves the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tributary.history import schema
from tributary.history.database import Database
from tributary.history.dialect import Rows
from tributary.history.position import Gap, Position
from tributary.history.schema import RESOLUTIONS, Resolution
from tributary.history.slots import Slots, to_summary, widen
from tributary.model import clock
from tributary.model.aggregate import merge
from tributary.model.groups import Ints

_PER_STATEMENT = 500
T = TypeVar("T")


class Transaction:
    """Changes to one partition; none is visible before all are."""

    def __init__(self, db: Database, connection: Connection, partition: int) -> None:
        self.connection = connection
        self.partition = partition
        self._db = db
        found = connection.execute(_POSITION.where(schema.positions.c.partition == partition)).one()
        self.position = Position(*found)

    def merge(self, slots: Slots) -> None:
        """Merge summaries by minute into the rows of minutes, hours and days.

        Raises:
            Unavailable: the database is.
        """
        if not len(slots.cells):
            return
        ids = self._db.dialect.series_ids(self.connection, slots.series)
        for resolution in RESOLUTIONS:
            slots = widen(slots, resolution.slot_ms)
            merge_rows(self._db, self.connection, resolution, ids[slots.index], slots)

    def note_gap(self, gap: Gap) -> None:
        """Record a gap before the new position."""
        noted_ms = clock.utc_ms()
        row = {"partition": self.partition, "noted_ms": noted_ms, **gap._asdict()}
        self.connection.execute(insert(schema.gaps).values(row))

    def advance(self, position: Position) -> None:
        """Set the position that the rows now include."""
        self.connection.execute(
            update(schema.positions)
            .where(schema.positions.c.partition == self.partition)
            .values(updated_ms=clock.utc_ms(), **position._asdict())
        )
        self.position = position

    def delete_devices(self, devices: Sequence[str]) -> int:
        """Delete every row of devices of this partition, by name; returns the number of rows."""
        deleted = 0
        for names in _batches(devices):
            of_devices = schema.series.c.device.in_(names)
            ids = list(self.connection.scalars(select(schema.series.c.id).where(of_devices)))
            for numbers in _batches(ids):
                for resolution in RESOLUTIONS:
                    of_series = resolution.table.c.series_id.in_(numbers)
                    done = self.connection.execute(delete(resolution.table).where(of_series))
                    deleted += done.rowcount
            deleted += self.connection.execute(delete(schema.series).where(of_devices)).rowcount
        return deleted


def _batches(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), _PER_STATEMENT):
        yield values[start : start + _PER_STATEMENT]


def merge_rows(
    db: Database, connection: Connection, resolution: Resolution, series_id: Ints, slots: Slots
) -> None:
    """Merge summaries into one table; `series_id`: the number of the series of each."""
    db.dialect.prepare(connection, resolution, slots.slot_ms)
    found, cells = db.dialect.existing(connection, resolution, series_id, slots.slot_ms)
    merged = slots.cells.copy()
    merge(cells, to_summary(slots.cells[found]))
    merged[found] = cells
    order = np.lexsort((slots.slot_ms, series_id))
    rows = Rows(series_id[order], slots.slot_ms[order], merged[order])
    db.dialect.put(connection, resolution, rows)


_POSITION = select(
    schema.positions.c.entry_id, schema.positions.c.entries, schema.positions.c.readings
)


@contextmanager
def begin(db: Database, partition: int) -> Iterator[Transaction]:
    """A transaction that has a partition to itself; it commits unless an error is raised.

    Raises:
        Unavailable: the database is, or another writer takes too long.
    """
    with db.writing() as connection:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        first = {"partition": partition, "updated_ms": 0, **Position()._asdict()}
        connection.execute(dialect.insert(schema.positions).values(first).on_conflict_do_nothing())
        db.dialect.lock_position(connection, partition)
        yield Transaction(db, connection, partition)


def positions(db: Database) -> dict[int, Position]:
    """The position of every partition that has one."""
    with db.reading() as connection:
        rows = connection.execute(_POSITION.add_columns(schema.positions.c.partition))
        return {partition: Position(*found) for *found, partition in rows}
