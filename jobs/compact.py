"""The job that merges the files of raw readings of a partition: one per day that is over.

Of the current day it merges small files once there are many, so that a directory stays small.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from jobs import raw_check
from jobs.piece import time_ms
from jobs.raw import RawDirectory, day_of
from jobs.raw_change import RawChange
from tributary import failpoints
from tributary.history import raw_files, store
from tributary.history.database import Database
from tributary.history.position import Position
from tributary.history.raw_files import RawFile
from tributary.settings import Settings

SMALL_BYTES = 8_388_608
MANY_FILES = 32


def run(settings: Settings, partition: int) -> dict[str, int]:
    """Merge the files of a partition, and delete those that a killed process has left.

    Returns:
        `files`: how many were replaced; `removed`: how many were left over.

    Raises:
        Unavailable: the database or the file system is; run it again.
        Misconfigured: pyarrow is missing, or an operator must act for another reason.
    """
    if not settings.raw_dir or settings.history == "off":
        return {"files": 0, "removed": 0}
    raw_check.check(settings)
    with contextlib.closing(Database.open(settings, migrate=True)) as db:
        directory, replaced = RawDirectory(settings.raw_dir, partition), 0
        position = store.positions(db).get(partition, Position())
        for files in chosen(raw_files.listed(db, partition), day_of(time_ms(position.entry_id))):
            replaced += _merge(db, directory, files)
        with store.begin(db, partition) as transaction:
            listed = raw_files.of_partition(transaction.connection, partition)
            removed = directory.remove_unlisted(listed)
    return {"files": replaced, "removed": removed}


def chosen(listed: Sequence[RawFile], today: str) -> list[list[RawFile]]:
    """The files to merge: neighbours of one day; `today` may still get more of them."""
    return [
        group
        for group in _runs(listed, today)
        if len(group) >= (MANY_FILES if group[0].day >= today else 2)
    ]


def _runs(listed: Sequence[RawFile], today: str) -> Iterator[list[RawFile]]:
    """Files of a day without entries in between; a large one of today is alone."""
    group: list[RawFile] = []
    for file in listed:
        is_alone = file.day >= today and file.size_bytes >= SMALL_BYTES
        is_next = group and (file.day, file.after_id) == (group[-1].day, group[-1].until_id)
        if group and (is_alone or not is_next):
            yield group
            group = []
        if is_alone:
            yield [file]
        else:
            group.append(file)
    if group:
        yield group


def _merge(db: Database, directory: RawDirectory, files: list[RawFile]) -> int:
    copy = directory.copy(files)
    assert copy is not None, "files of the list have rows"
    change = RawChange(directory, [copy], files)
    try:
        with store.begin(db, directory.partition) as transaction:
            if not change.apply(transaction):
                return 0
            failpoints.reach("before_compact_commit")
        failpoints.reach("after_compact_commit")
        change.committed()
    finally:
        change.discard()
    return len(files)
