"""What the API reads from the history. `HistoryStore` imports it with the first such request."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import event

from api.read.query import NO_CELLS, Cells
from api.read.sources import Part
from tributary.history import reads
from tributary.history.database import Database
from tributary.history.position import Gap, Position
from tributary.history.store import positions
from tributary.settings import Settings

GAPS_MAX = 100
_NEVER_MS = 2**62
_STEPS_PER_CHECK = 10_000  # of SQLite's virtual machine, about a millisecond


def open_read_only(settings: Settings) -> Database:
    """Connect, without being able to write.

    Raises:
        NoHistory, Unavailable, Misconfigured: see `Database.open`.
    """
    database = Database.open(settings, migrate=False)
    database.close()  # its connections are not read-only yet
    event.listen(database.engine, "connect", _make_read_only)
    event.listen(database.engine, "begin", partial(_limit_time, settings.history_timeout_ms))
    return database


def metrics(database: Database, device: str) -> list[str]:
    """The metrics of a device."""
    return reads.series_of(database, device)


def position_and_gaps(
    database: Database, partition: int, oldest_ms: int
) -> tuple[Position, list[Gap]]:
    """How far a partition is, and its newest gaps since a time; the rows contain at least that."""
    position = positions(database).get(partition, Position())
    return position, reads.gaps(database, oldest_ms, _NEVER_MS, partition)[-GAPS_MAX:]


def cells(database: Database, device: str, metric: str, parts: Sequence[Part]) -> Cells:
    """The slots of all parts."""
    found = NO_CELLS
    for part in parts:
        bounds = part.slot_ms, part.begin_ms, part.end_ms
        found = found.plus(Cells(*reads.read(database, device, metric, *bounds)))
    return found


def _limit_time(timeout_ms: int, connection: Any) -> None:
    """Limit the time of a transaction of SQLite; PostgreSQL has limits of its own."""
    raw = connection.connection.driver_connection
    if isinstance(raw, sqlite3.Connection):
        deadline_s = time.monotonic() + timeout_ms / 1000
        raw.set_progress_handler(lambda: time.monotonic() > deadline_s, _STEPS_PER_CHECK)


def _make_read_only(raw: Any, _: object) -> None:
    if isinstance(raw, sqlite3.Connection):
        raw.execute("PRAGMA query_only = ON")
    else:
        raw.execute("SET default_transaction_read_only = on")
        raw.commit()
