"""The tables of the history; docs/history.md explains them to users of SQL.

`m2` has the stored form of `aggregate.packed_m2`: negative where a sum of squares would leave
the range of a double. Tables of slots are clustered by series and time: WITHOUT ROWID in SQLite,
range partitions of `chunk_ms` in PostgreSQL. They have no foreign keys: an accepted batch would
check each row, and only `Transaction.delete_devices` deletes series.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

from tributary.history.slots import DAY_MS, HOUR_MS, MINUTE_MS

metadata = MetaData()
# Of Alembic, which only processes that migrate import; `alembic_version` may be another program's.
REVISION_TABLE, REVISION = "history_revision", "0003"

_WEEK_MS = 7 * DAY_MS
# INTEGER is 64 bits wide in SQLite, where only this type can number rows.
_NUMBER = BigInteger().with_variant(Integer, "sqlite")
_NAME_MAX_BYTES = 128


def _name(length: int) -> String:
    """A name, compared by bytes in both databases: pages continue after the last one."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


series = Table(
    "series",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("device", _name(_NAME_MAX_BYTES), nullable=False),
    Column("metric", _name(_NAME_MAX_BYTES), nullable=False),
    UniqueConstraint("device", "metric", name="series_names"),
    sqlite_autoincrement=True,  # the number of a deleted series is not used again
)


def _slots(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("series_id", BigInteger, primary_key=True, autoincrement=False),
        Column("slot_ms", BigInteger, primary_key=True, autoincrement=False),
        Column("count", BigInteger, nullable=False),
        *(Column(column, Double, nullable=False) for column in ("mean", "m2", "min", "max")),
        sqlite_with_rowid=False,
        postgresql_partition_by="RANGE (slot_ms)",
    )


minutes, hours, days = _slots("minutes"), _slots("hours"), _slots("days")

positions = Table(
    "positions",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("entry_id", String(64), nullable=False),  # of the last entry in the history
    Column("entries", BigInteger, nullable=False),  # its number
    Column("readings", BigInteger, nullable=False),  # the number of its last reading
    Column("updated_ms", BigInteger, nullable=False),
)

gaps = Table(
    "gaps",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("from_ms", BigInteger, nullable=False),  # time of the entry before
    Column("to_ms", BigInteger, nullable=False),  # time of the entry behind
    Column("entries", BigInteger, nullable=False),
    Column("readings", BigInteger, nullable=False),
    Column("noted_ms", BigInteger, nullable=False),
    Index("gaps_by_time", "to_ms"),
)


raw_files = Table(
    "raw_files",
    metadata,
    Column("path", String(255), primary_key=True),  # in the directory of raw readings
    Column("partition", Integer, nullable=False),
    Column("day", String(10), nullable=False),  # of the entries, UTC: 2026-11-26
    Column("first_id", String(64), nullable=False),  # entries that it begins and ends with
    Column("last_id", String(64), nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    # It has every reading behind the one entry and up to the other; '': unknown.
    Column("after_id", String(64), nullable=False, server_default=""),
    Column("until_id", String(64), nullable=False, server_default=""),
    Index("raw_files_by_partition", "partition", "day"),
)


class Resolution(NamedTuple):
    """A table of slots."""

    table: Table
    slot_ms: int
    chunk_ms: int  # time span of a partition in PostgreSQL

    @property
    def name(self) -> str:
        """The name of its table."""
        return self.table.name


MINUTES = Resolution(minutes, MINUTE_MS, _WEEK_MS)
HOURS = Resolution(hours, HOUR_MS, 13 * _WEEK_MS)
DAYS = Resolution(days, DAY_MS, 52 * _WEEK_MS)
RESOLUTIONS = (MINUTES, HOURS, DAYS)
BY_SLOT_MS = {each.slot_ms: each for each in RESOLUTIONS}
