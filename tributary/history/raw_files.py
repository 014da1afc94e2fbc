"""The list of files with raw readings: a file that is not in it does not count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select

from tributary.history.database import Database
from tributary.history.schema import raw_files


class RawFile(NamedTuple):
    """A Parquet file with the readings of consecutive entries of a partition."""

    path: str  # in the directory of raw readings
    partition: int
    day: str  # of the entries, UTC: 2026-11-26
    first_id: str
    last_id: str
    rows: int
    size_bytes: int


_COLUMNS = [raw_files.c[name] for name in RawFile._fields]


def listed(db: Database, partition: int) -> list[RawFile]:
    """The files of a partition, in the order of the stream.

    Raises:
        Unavailable: the database is.
    """
    with db.reading() as connection:
        return of_partition(connection, partition)


def of_partition(connection: Connection, partition: int) -> list[RawFile]:
    """The same in a transaction."""
    query = select(*_COLUMNS).where(raw_files.c.partition == partition)
    found = [RawFile(*row) for row in connection.execute(query)]
    return sorted(found, key=lambda file: tuple(map(int, file.first_id.split("-"))))


def replace(connection: Connection, old: Sequence[RawFile], new: Sequence[RawFile]) -> None:
    """Remove files from the list, and add others."""
    for file in old:
        connection.execute(delete(raw_files).where(raw_files.c.path == file.path))
    if new:
        connection.execute(insert(raw_files), [file._asdict() for file in new])
