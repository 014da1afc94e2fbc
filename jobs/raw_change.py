"""What a transaction of the history changes in the directory of raw readings.

New files are written before the transaction, which has the partition to itself and gives them
their names; files that it replaces are deleted after the commit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Self

from jobs.piece import Piece
from jobs.raw import RawDirectory, Written
from tributary import failpoints
from tributary.history import raw_files
from tributary.history.database import Database
from tributary.history.raw_files import RawFile
from tributary.history.store import Transaction


class RawChange:
    """Files to add, and files of the list to remove."""

    def __init__(
        self, files: RawDirectory | None, written: list[Written], replaced: list[RawFile]
    ) -> None:
        self._files = files
        self._written = written
        self._replaced = replaced

    @classmethod
    @contextmanager
    def prepared(
        cls,
        db: Database,
        files: RawDirectory | None,
        piece: Piece,
        forgotten: Mapping[str, Collection[str]],
    ) -> Iterator[Self]:
        """Write the readings of a piece, and files of the list without forgotten devices."""
        written: list[Written] = []
        replaced: list[RawFile] = []
        if files is not None:
            written = files.write(piece, forgotten)
            gone = {device for devices in forgotten.values() for device in devices}
            if gone:
                listed = raw_files.listed(db, files.partition)
                replaced = files.naming(listed, gone)
                copies = [files.copy([file], gone) for file in replaced]
                written += [copy for copy in copies if copy is not None]
        change = cls(files, written, replaced)
        try:
            yield change
        finally:
            change.discard()

    def apply(self, transaction: Transaction) -> bool:
        """Give the files their names, and list them; False if the list has changed meanwhile."""
        if self._files is None:
            return True
        listed = raw_files.of_partition(transaction.connection, self._files.partition)
        if not set(self._replaced) <= set(listed):
            return False
        new = [each.file for each in self._written]
        self._files.remove_unlisted(listed, {file.day for file in new})
        self._files.publish(self._written)
        raw_files.replace(transaction.connection, self._replaced, new)
        failpoints.reach("after_raw_file")
        return True

    def committed(self) -> None:
        """Delete the files that were replaced."""
        if self._files is not None and self._replaced:
            self._files.delete(self._replaced)

    def discard(self) -> None:
        """Delete hidden files that have not got their names."""
        if self._files is not None:
            self._files.discard(self._written)
