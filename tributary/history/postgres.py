"""PostgreSQL: columns travel in its binary formats, which numpy reads and writes directly.

Tables of slots are partitioned by time; partitions are created when a slot needs them, and
removed as a whole. With TimescaleDB they are hypertables, which do that themselves.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import psycopg
import sqlalchemy
from sqlalchemy import Connection, Engine, create_engine, event

from tributary.history import url
from tributary.history.dialect import Rows
from tributary.history.schema import Resolution
from tributary.model.aggregate import CELL, Records
from tributary.model.groups import Ints
from tributary.settings import Settings

_SCHEMA_LOCK, _PARTITIONS_LOCK = 5_301_701, 5_301_702  # of pg_advisory_xact_lock
_CONNECT_TIMEOUT_S = 10
_PARTITIONS_PER_TRANSACTION = 50  # each takes several of the locks that the server has room for
_REMOVAL_LOCK_TIMEOUT_MS = 2_000  # while it waits for readers, new ones wait for it
_STATISTICS = ("mean", "m2", "min", "max")
_CELL_COLUMNS = ("count", *_STATISTICS)
_COLUMNS = ("series_id", "slot_ms", *_CELL_COLUMNS)
_FOUND_COLUMNS = ("number", *_CELL_COLUMNS)

# https://www.postgresql.org/docs/15/sql-copy.html#id-1.9.3.55.9.4
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_ARRAY_HEADER_BYTES = 20  # array_send in src/backend/utils/adt/arrayfuncs.c
_FIELD_BYTES = 8  # all columns have this size, none is NULL

_ROW_BYTES, _COUNTED_MAX_BYTES = 84, 67_108_864
_CHILDREN = sqlalchemy.text(
    "SELECT relname, pg_relation_size(oid) FROM pg_class JOIN pg_inherits ON oid = inhrelid "
    "WHERE inhparent = CAST(:parent AS regclass)"
)


class PostgreSQL:
    """See `dialect.Dialect`."""

    def create_engine(self, settings: Settings) -> Engine:
        """An engine whose statements and waits for locks end after the timeout."""
        engine = create_engine(
            url.to_sqlalchemy(settings.history_url),
            pool_pre_ping=True,
            # A plan is made for each statement: its partitions depend on its times.
            connect_args={"connect_timeout": _CONNECT_TIMEOUT_S, "prepare_threshold": None},
        )
        timeout_ms = settings.history_timeout_ms

        def configure(raw: psycopg.Connection, _: object) -> None:
            raw.execute(
                f"SET statement_timeout = {timeout_ms}; SET lock_timeout = {timeout_ms}; "
                "SET client_min_messages = warning; SET timezone = 'UTC'; SET jit = off"  # too slow
            )
            raw.commit()

        event.listen(engine, "connect", configure)
        return engine

    def lock_schema(self, connection: Connection) -> None:
        """An advisory lock, because there may be no table yet; migrating may take long."""
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})")
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")

    def lock_position(self, connection: Connection, partition: int) -> None:
        """Lock the row."""
        connection.exec_driver_sql(
            f"SELECT 1 FROM positions WHERE partition = {partition} FOR UPDATE"  # noqa: S608
        )

    def series_ids(self, connection: Connection, series: list[tuple[str, str]]) -> Ints:
        """One statement, and two more if there are new series."""
        numbers = np.zeros(len(series), np.int64)
        self._find_series(connection, series, numbers)
        missing = np.flatnonzero(numbers == 0)
        if len(missing):
            raw_connection(connection).execute(
                "INSERT INTO series (device, metric) SELECT * FROM unnest(%s::text[], %s::text[]) "
                "ON CONFLICT DO NOTHING",
                _columns([series[n] for n in missing]),
            )
            self._find_series(connection, series, numbers)
        return numbers

    def prepare(self, connection: Connection, resolution: Resolution, slot_ms: Ints) -> None:
        """Create missing partitions, in transactions of their own: others need them, too.

        They are attached, because CREATE TABLE … PARTITION OF would wait for all readers.
        """
        chunks = np.unique(slot_ms // resolution.chunk_ms) * resolution.chunk_ms
        names = {_partition(resolution, start_ms): start_ms for start_ms in chunks.tolist()}
        missing = _missing(connection, resolution, names)
        if not missing or not _is_partitioned(connection, resolution):
            return
        for start in range(0, len(missing), _PARTITIONS_PER_TRANSACTION):
            group = missing[start : start + _PARTITIONS_PER_TRANSACTION]
            _create_partitions(connection.engine, resolution, {name: names[name] for name in group})

    def existing(
        self, connection: Connection, resolution: Resolution, series_id: Ints, slot_ms: Ints
    ) -> tuple[Ints, Records]:
        """Join with a temporary table; OFFSET 0 makes the planner look up each wanted row."""
        wanted = {"number": np.arange(len(series_id)), "series_id": series_id, "slot_ms": slot_ms}
        copy_in(connection, wanted)
        found = _fetch(
            connection,
            f"SELECT w.number, {_listed(_CELL_COLUMNS, 'm.')} FROM tributary_rows w, LATERAL "  # noqa: S608 (names of the schema, and integers)
            f"(SELECT * FROM {resolution.name} WHERE series_id = w.series_id "
            f"AND slot_ms = w.slot_ms AND slot_ms BETWEEN {slot_ms.min()} AND {slot_ms.max()} "
            "OFFSET 0) m",
            _FOUND_COLUMNS,
        )
        return found["number"], _cells(found)

    def put(self, connection: Connection, resolution: Resolution, rows: Rows) -> None:
        """COPY into a temporary table, then upsert."""
        columns = {"series_id": rows.series_id, "slot_ms": rows.slot_ms}
        copy_in(connection, columns | {name: rows.cells[name] for name in _CELL_COLUMNS})
        replaced = ", ".join(f"{name} = excluded.{name}" for name in _CELL_COLUMNS)
        listed = _listed(_COLUMNS)
        connection.exec_driver_sql(
            f"INSERT INTO {resolution.name} ({listed}) SELECT {listed} FROM tributary_rows "  # noqa: S608
            f"ON CONFLICT (series_id, slot_ms) DO UPDATE SET {replaced}"
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
        """Ranges of the index of each partition that the span overlaps."""
        ids = ", ".join(map(str, series_id.tolist()))
        found = _fetch(
            connection,
            f"SELECT {_listed(_COLUMNS)} FROM {resolution.name} WHERE series_id IN ({ids}) "  # noqa: S608
            f"AND slot_ms >= {from_ms} AND slot_ms < {to_ms} "
            f"ORDER BY series_id, slot_ms LIMIT {limit}",
            _COLUMNS,
        )
        return Rows(found["series_id"], found["slot_ms"], _cells(found))

    def remove_before(self, engine: Engine, resolution: Resolution, before_ms: int) -> int:
        """Drop partitions that end before the time; the rows of large ones are estimated."""
        with engine.begin() as connection:
            if not _is_partitioned(connection, resolution):
                connection.execute(
                    sqlalchemy.text("SELECT drop_chunks(CAST(:name AS regclass), :before_ms)"),
                    {"name": resolution.name, "before_ms": before_ms},
                )
                return 0
            children = connection.execute(_CHILDREN, {"parent": resolution.name}).all()
        # Names contain the day a partition begins, so they are in order of time.
        last = _partition(resolution, before_ms // resolution.chunk_ms * resolution.chunk_ms)
        removed = 0
        for name, size_bytes in sorted((name, size) for name, size in children if name < last):
            with engine.begin() as connection:
                rows = size_bytes // _ROW_BYTES
                if size_bytes <= _COUNTED_MAX_BYTES:
                    rows = connection.scalar(sqlalchemy.text(f"SELECT count(*) FROM {name}"))  # noqa: S608
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_REMOVAL_LOCK_TIMEOUT_MS}")
                connection.exec_driver_sql(f"DROP TABLE {name}")
            removed += rows
        return removed

    def scrub(self, engine: Engine) -> None:
        """Rewrite the table of names; a checkpoint releases the old file."""
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM FULL series")

    @staticmethod
    def _find_series(connection: Connection, series: list[tuple[str, str]], into: Ints) -> None:
        found = raw_connection(connection).execute(
            "SELECT k.number, s.id FROM unnest(%s::text[], %s::text[]) "
            "WITH ORDINALITY k (device, metric, number) "
            'JOIN series s ON s.device = k.device COLLATE "C" AND s.metric = k.metric COLLATE "C"',
            _columns(series),
        )
        for number, id_ in found:
            into[number - 1] = id_


def _columns(series: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [device for device, _ in series], [metric for _, metric in series]


def _listed(columns: tuple[str, ...], prefix: str = "") -> str:
    return ", ".join(prefix + name for name in columns)


def _partition(resolution: Resolution, start_ms: int) -> str:
    start = dt.datetime.fromtimestamp(start_ms / 1000, dt.UTC)
    return f"{resolution.name}_{start:%Y%m%d}"


def _is_partitioned(connection: Connection, resolution: Resolution) -> bool:
    """Whether this is a partitioned table; else a hypertable of TimescaleDB."""
    kind = connection.exec_driver_sql(
        f"SELECT relkind FROM pg_class WHERE oid = '{resolution.name}'::regclass"  # noqa: S608
    ).scalar_one()
    return kind in {"p", b"p"}


def _create_partitions(engine: Engine, resolution: Resolution, names: dict[str, int]) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_PARTITIONS_LOCK})")
        for name in _missing(connection, resolution, names):
            start_ms = names[name]
            connection.exec_driver_sql(
                f"CREATE TABLE {name} (LIKE {resolution.name} INCLUDING ALL)"
            )
            connection.exec_driver_sql(
                f"ALTER TABLE {resolution.name} ATTACH PARTITION {name} "
                f"FOR VALUES FROM ({start_ms}) TO ({start_ms + resolution.chunk_ms})"
            )


def _missing(connection: Connection, resolution: Resolution, names: dict[str, int]) -> list[str]:
    """The partitions that do not exist; to_regclass could remember an old result."""
    children = connection.execute(_CHILDREN, {"parent": resolution.name})
    return sorted(names.keys() - {name for name, _ in children})


def raw_connection(connection: Connection) -> psycopg.Connection:
    """The connection of the driver, for rows in bulk."""
    return connection.connection.driver_connection  # type: ignore[return-value]


def _record(columns: tuple[str, ...]) -> np.dtype[np.void]:
    """A row in the binary format: number of fields, then length and value of each."""
    fields: list[Any] = [("fields", ">i2")]
    for name in columns:
        fields.append((f"bytes of {name}", ">i4"))
        fields.append((name, ">f8" if name in _STATISTICS else ">i8"))
    return np.dtype(fields)


def _cells(columns: dict[str, Any]) -> Records:
    cells = np.empty(len(columns["count"]), CELL)
    for name in _CELL_COLUMNS:
        cells[name] = columns[name]
    return cells


def copy_in(connection: Connection, columns: dict[str, Any]) -> None:
    """Replace the rows of the temporary table."""
    raw = raw_connection(connection)
    raw.execute(
        "CREATE TEMP TABLE IF NOT EXISTS tributary_rows (number bigint, series_id bigint, "
        "slot_ms bigint, count bigint, mean float8, m2 float8, min float8, max float8) "
        "ON COMMIT DELETE ROWS"
    )
    raw.execute("TRUNCATE tributary_rows")
    names = tuple(columns)
    rows = np.zeros(len(columns["slot_ms"]), _record(names))
    rows["fields"] = len(names)
    for name, values in columns.items():
        rows[f"bytes of {name}"] = _FIELD_BYTES
        rows[name] = values
    into = f"COPY tributary_rows ({_listed(names)}) FROM STDIN (FORMAT BINARY)"
    with raw.cursor() as cursor, cursor.copy(into) as copy:
        copy.write(_HEADER + rows.tobytes() + _TRAILER)


def _fetch(connection: Connection, query: str, columns: tuple[str, ...]) -> dict[str, Any]:
    """The columns of a query, in its order; arrays, because each row of COPY is a message."""
    arrays = ", ".join(f"array_agg({name})" for name in columns)
    with raw_connection(connection).cursor(binary=True) as cursor:
        result = cursor.execute(f"SELECT {arrays} FROM ({query}) found").pgresult  # noqa: S608
        assert result is not None
        packed = [result.get_value(0, number) for number in range(len(columns))]
    return {name: _elements(name, array) for name, array in zip(columns, packed, strict=True)}


def _elements(name: str, packed: bytes | None) -> Any:
    """The elements of an array: a header, then length and value of each; None: no rows."""
    kind = "f8" if name in _STATISTICS else "i8"
    element = np.dtype([("bytes", ">i4"), ("value", f">{kind}")])
    found = np.frombuffer(packed or bytes(_ARRAY_HEADER_BYTES), element, offset=_ARRAY_HEADER_BYTES)
    return found["value"].astype(f"<{kind}")
