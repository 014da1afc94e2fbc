"""Rows of forgotten devices in the files of raw readings, which only the job `archive` writes.

It removes them where it meets a tombstone. Some are left if the stream was trimmed before it.
"""

from __future__ import annotations

from collections.abc import Collection

from jobs.piece import Piece
from jobs.raw import RawDirectory
from jobs.raw_change import RawChange
from tributary.errors import Unavailable
from tributary.history import raw_files, store
from tributary.history.database import Database
from tributary.history.position import Position
from tributary.settings import Settings


def erase(settings: Settings, db: Database, partition: int, devices: Collection[str]) -> int:
    """Write the files that have rows of devices again, without them; returns how many.

    Raises:
        Unavailable: the database or the file system is, or the files have changed meanwhile.
    """
    found = search(settings, db, partition, devices)[1]
    if not found:
        return 0
    directory, nothing = RawDirectory(settings.raw_dir, partition), Position()
    piece, gone = Piece(nothing, nothing, [], []), {nothing.entry_id: devices}
    with RawChange.prepared(db, directory, piece, gone) as change:
        with store.begin(db, partition) as transaction:
            if not change.apply(transaction):
                raise Unavailable("the files of raw readings have changed; this is repeated")
        change.committed()
    return found


def search(
    settings: Settings, db: Database, partition: int, devices: Collection[str]
) -> tuple[int, int]:
    """How many files a partition has, and how many of them have rows of devices.

    Raises:
        Unavailable: the database or the file system is.
    """
    if not settings.raw_dir or not devices:
        return 0, 0
    listed = raw_files.listed(db, partition)
    return len(listed), len(RawDirectory(settings.raw_dir, partition).naming(listed, devices))
