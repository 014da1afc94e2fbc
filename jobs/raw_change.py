"""What a transaction of the history changes in the directory of raw readings.

New files are written before the transaction, which has the partition to itself and gives them
their names; files that it replaces are deleted after the commit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
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
        self,
        files: RawDirectory | None,
        written: list[Written],
        replaced: list[RawFile],
        emptied: Sequence[RawFile] = (),
        span: tuple[str, str] = ("", ""),
    ) -> None:
        """`emptied`: those of `replaced` that have no rows left; `span`: of the piece, if any."""
        self._files = files
        self._written = written
        self._replaced = replaced
        self._emptied = emptied
        self._span = span

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
        emptied: list[RawFile] = []
        if files is not None:
            written = files.write(piece, forgotten)
            gone = {device for devices in forgotten.values() for device in devices}
            if gone:
                listed = raw_files.listed(db, files.partition)
                replaced = files.naming(listed, gone)
                for file in replaced:
                    copy = files.copy([file], gone)
                    if copy is None:
                        emptied.append(file)
                    else:
                        written.append(copy)
        span = (piece.after.entry_id, piece.position.entry_id)
        change = cls(files, written, replaced, emptied, span)
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
        raw_files.close_up(transaction.connection, self._emptied)
        if not any(file.until_id == self._span[1] for file in new):
            raw_files.extend(transaction.connection, self._files.partition, *self._span)
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
