"""The list of files with raw readings: a file that is not in it does not count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Update, delete, insert, select, update

from tributary.history.database import Database
from tributary.history.schema import raw_files
from tributary.store.tombstone import parts_of


class RawFile(NamedTuple):
    """A Parquet file with the readings of consecutive entries of a partition.

    It has all that follow `after_id`, up to `until_id`, except for what was forgotten or buried.
    Where `after_id` is not the `until_id` of the file before, entries may be in no file.
    """

    path: str  # in the directory of raw readings
    partition: int
    day: str  # of the entries, UTC: 2026-11-26
    first_id: str
    last_id: str
    rows: int
    size_bytes: int
    after_id: str = ""  # of an older version: unknown
    until_id: str = ""


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
    return sorted(found, key=lambda file: parts_of(file.first_id))


def replace(connection: Connection, old: Sequence[RawFile], new: Sequence[RawFile]) -> None:
    """Remove files from the list, and add others."""
    for file in old:
        connection.execute(delete(raw_files).where(raw_files.c.path == file.path))
    if new:
        connection.execute(insert(raw_files), [file._asdict() for file in new])


def extend(connection: Connection, partition: int, after_id: str, until_id: str) -> bool:
    """Note that the entries between two have no rows; False if no file ends with the first."""
    if after_id == until_id:
        return False
    found = _of(partition).where(raw_files.c.until_id == after_id)
    return connection.execute(found.values(until_id=until_id)).rowcount > 0


def close_up(connection: Connection, emptied: Sequence[RawFile]) -> None:
    """Note that files which were removed have no rows any more: those beside them continue."""
    for file in reversed(emptied):
        if not extend(connection, file.partition, file.after_id, file.until_id):
            behind = _of(file.partition).where(raw_files.c.after_id == file.until_id)
            connection.execute(behind.values(after_id=file.after_id))


def _of(partition: int) -> Update:
    return update(raw_files).where(raw_files.c.partition == partition)
