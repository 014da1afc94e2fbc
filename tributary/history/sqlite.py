"""SQLite: a file in the data directory, in WAL mode, so that readers never wait.

`synchronous` is FULL: a transaction covers a run of a partition, so one fsync costs little, and
what Redis trims afterwards could not be read again after a power failure. Deleted content is
overwritten (`secure_delete`), because readings can be forgotten.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, create_engine, event

from tributary.history.dialect import Rows
from tributary.history.schema import Resolution
from tributary.model.aggregate import CELL, Records
from tributary.model.groups import Ints
from tributary.settings import Settings

FILE = "history.db"
IMMEDIATE = "tributary_immediate"  # execution option: take the lock for writing at the start
_FETCH_ROWS = 10_000
_READER_CACHE_KIB, _WRITER_CACHE_KIB = 8_192, 65_536  # the pages that a transaction changes
_SERIES_PER_REMOVAL, _ROWS_PER_REMOVAL = 500, 20_000
_COLUMNS = "count, mean, m2, min, max"
_CELL_COLUMNS = ", ".join(f"m.{name}" for name in ("count", "mean", "m2", "min", "max"))
# Rows as the driver returns them, whose bytes are those of the records below.
_CELL_FIELDS = [(name, CELL[name]) for name in CELL.names or ()]
_ROW = np.dtype([("series_id", "<i8"), ("slot_ms", "<i8"), *_CELL_FIELDS])
_ROW_WITH_CELL = np.dtype([("series_id", "<i8"), ("slot_ms", "<i8"), ("cell", CELL)])
_FOUND = np.dtype([("number", "<i8"), *_CELL_FIELDS])
_FOUND_WITH_CELL = np.dtype([("number", "<i8"), ("cell", CELL)])


def path_of(settings: Settings) -> Path:
    """The absolute path of the database."""
    return Path(settings.data_dir).absolute() / FILE


def create_file(settings: Settings) -> None:
    """Create the file, readable by its owner alone, as the files that SQLite adds to it will be.

    It gets its name once it is in WAL mode: processes that switch at once would fail.
    """
    path = path_of(settings)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(prefix=f"{FILE}-", dir=path.parent)  # mode 0600
    os.close(number)
    try:
        with contextlib.closing(sqlite3.connect(name)) as raw:
            raw.execute("PRAGMA journal_mode = WAL").fetchall()
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.link(name, path)
    finally:
        Path(name).unlink()


class SQLite:
    """See `dialect.Dialect`."""

    def create_engine(self, settings: Settings) -> Engine:
        """An engine whose transactions SQLAlchemy begins, not the driver."""
        engine = create_engine(
            f"sqlite:///{path_of(settings)}",
            connect_args={"timeout": settings.history_timeout_ms / 1000, "isolation_level": None},
        )
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
        return engine

    def lock_schema(self, connection: Connection) -> None:
        """The transaction has the only lock of the database already."""

    def lock_position(self, connection: Connection, partition: int) -> None:
        """The transaction has the only lock of the database already."""

    def series_ids(self, connection: Connection, series: list[tuple[str, str]]) -> Ints:
        """Two microseconds per series."""
        raw = raw_connection(connection)
        find = "SELECT id FROM series WHERE device = ? AND metric = ?"
        numbers = np.empty(len(series), np.int64)
        for place, names in enumerate(series):
            found = raw.execute(find, names).fetchone()
            if found is None:
                add = raw.execute("INSERT INTO series (device, metric) VALUES (?, ?)", names)
                found = (add.lastrowid,)
            numbers[place] = found[0]
        return numbers

    def prepare(self, connection: Connection, resolution: Resolution, slot_ms: Ints) -> None:
        """There are no partitions."""

    def existing(
        self, connection: Connection, resolution: Resolution, series_id: Ints, slot_ms: Ints
    ) -> tuple[Ints, Records]:
        """Join with a temporary table, which is in memory."""
        raw = raw_connection(connection)
        raw.execute(
            "CREATE TEMP TABLE IF NOT EXISTS wanted (number INTEGER PRIMARY KEY, series_id, slot_ms)"
        )
        raw.execute("DELETE FROM wanted")
        wanted = zip(range(len(series_id)), series_id.tolist(), slot_ms.tolist(), strict=True)
        raw.executemany("INSERT INTO wanted VALUES (?, ?, ?)", wanted)
        # CROSS JOIN: look up each wanted row, never scan the table of slots.
        cursor = raw.execute(
            f"SELECT number, {_CELL_COLUMNS} FROM wanted w CROSS JOIN {resolution.name} m "  # noqa: S608 (names of the schema)
            "ON m.series_id = w.series_id AND m.slot_ms = w.slot_ms"
        )
        found = _fetch(cursor, _FOUND).view(_FOUND_WITH_CELL)
        return found["number"], np.ascontiguousarray(found["cell"])

    def put(self, connection: Connection, resolution: Resolution, rows: Rows) -> None:
        """Replace rows by their primary key."""
        columns = [rows.cells[name].tolist() for name in CELL.names or ()]
        values = zip(rows.series_id.tolist(), rows.slot_ms.tolist(), *columns, strict=True)
        raw_connection(connection).executemany(
            f"REPLACE INTO {resolution.name} (series_id, slot_ms, {_COLUMNS}) "  # noqa: S608
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            values,
        )

    def select(  # noqa: PLR0913, PLR0917 (see Dialect)
        self,
        connection: Connection,
        resolution: Resolution,
        series_id: Ints,
        from_ms: int,
        to_ms: int,
        limit: int,
    ) -> Rows:
        """Ranges of the clustered index."""
        cursor = raw_connection(connection).execute(
            f"SELECT series_id, slot_ms, {_CELL_COLUMNS} FROM {resolution.name} m "  # noqa: S608
            f"WHERE series_id IN ({', '.join('?' * len(series_id))}) "
            "AND slot_ms >= ? AND slot_ms < ? ORDER BY series_id, slot_ms LIMIT ?",
            (*series_id.tolist(), from_ms, to_ms, limit),
        )
        found = _fetch(cursor, _ROW).view(_ROW_WITH_CELL)
        cells = np.ascontiguousarray(found["cell"])
        return Rows(found["series_id"].copy(), found["slot_ms"].copy(), cells)

    def remove_before(self, engine: Engine, resolution: Resolution, before_ms: int) -> int:
        """Delete by series, so that each transaction is short and reads only what it deletes."""
        removed, last = 0, 0
        writer = engine.execution_options(**{IMMEDIATE: True})
        end_ms = before_ms - resolution.slot_ms + 1
        while True:
            with writer.begin() as connection:
                raw = raw_connection(connection)
                numbers = raw.execute(
                    "SELECT id FROM series WHERE id > ? ORDER BY id LIMIT ?",
                    (last, _SERIES_PER_REMOVAL),
                ).fetchall()
                budget = _ROWS_PER_REMOVAL
                for (number,) in numbers:
                    count = _remove(raw, resolution, number, end_ms, budget)
                    removed, budget = removed + count, budget - count
                    if budget == 0:
                        break  # the rest of this series is next
                    last = number
            if not numbers:
                return removed

    def scrub(self, engine: Engine) -> None:
        """Move the write-ahead log into the file, which `secure_delete` has overwritten, and empty it."""
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            raw_connection(connection).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _remove(
    raw: sqlite3.Connection, resolution: Resolution, number: int, end_ms: int, limit: int
) -> int:
    """Delete at most `limit` slots of a series that begin before `end_ms`, oldest first."""
    beyond = raw.execute(
        f"SELECT slot_ms FROM {resolution.name} WHERE series_id = ? AND slot_ms < ? "  # noqa: S608
        "ORDER BY slot_ms LIMIT 1 OFFSET ?",
        (number, end_ms, limit),
    ).fetchone()
    return raw.execute(
        f"DELETE FROM {resolution.name} WHERE series_id = ? AND slot_ms < ?",  # noqa: S608
        (number, beyond[0] if beyond else end_ms),
    ).rowcount


def _configure(raw: sqlite3.Connection, _: object) -> None:
    if raw.execute("PRAGMA journal_mode").fetchone() != ("wal",):  # restored from a copy
        raw.execute("PRAGMA journal_mode = WAL").fetchall()
    for pragma in (
        "synchronous = FULL",
        "secure_delete = ON",
        "temp_store = MEMORY",
        "wal_autocheckpoint = 8192",  # pages: a page that changes often is written back once
        "journal_size_limit = 67108864",  # bytes of the WAL that a checkpoint leaves
    ):
        raw.execute(f"PRAGMA {pragma}").fetchall()


def _begin(connection: Connection) -> None:
    is_immediate = connection.get_execution_options().get(IMMEDIATE)
    cache_kib = _WRITER_CACHE_KIB if is_immediate else _READER_CACHE_KIB
    connection.exec_driver_sql(f"PRAGMA cache_size = -{cache_kib}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_immediate else "BEGIN")


def raw_connection(connection: Connection) -> sqlite3.Connection:
    """The connection of the driver, for rows in bulk."""
    return connection.connection.driver_connection  # type: ignore[return-value]


def _fetch(cursor: sqlite3.Cursor, record: np.dtype[np.void]) -> Any:
    """The rows of a query as records."""
    parts = []
    while rows := cursor.fetchmany(_FETCH_ROWS):
        parts.append(np.array(rows, record))
    return np.concatenate(parts) if parts else np.empty(0, record)
