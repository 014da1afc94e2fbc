"""Reads the rows of the files with raw readings of a partition, in order of arrival.

Files may be merged, written again without forgotten devices, or deleted meanwhile. A file that
is open keeps its rows; when one is gone before it is opened, the list is read again, and reading
goes on behind the last row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select

from tributary.errors import Misconfigured, Unavailable
from tributary.history import raw_files, schema
from tributary.history.database import Database
from tributary.history.raw_files import RawFile
from tributary.store.tombstone import parts_of

BATCH_ROWS = 65_536  # held in memory
_COLUMNS = ["device", "metric", "recorded_at", "value", "entry_id"]
_LISTINGS_MAX = 5  # in a row without a file that could be read
_NEVER = "0-0"
_MS_DIGITS = 13  # of the time in an id, from 2001 to 2286: ids are sorted as texts

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Id = tuple[int, int]  # of an entry


class BadRawFile(Misconfigured):
    """A file of raw readings is not what the list says; `file` and `problem` name it."""

    def __init__(self, root: Path, file: RawFile, problem: str) -> None:
        super().__init__(
            f"raw file {file.path} in raw_dir={str(root)!r} {problem}; restore it from a backup, "
            "or delete its line in the table raw_files of the history"
        )
        self.file = file
        self.problem = problem


class Wanted(NamedTuple):
    """Which rows are needed: others are left out if a whole row group has none of these."""

    devices: Collection[str] = ()  # empty: all
    metrics: Collection[str] = ()  # empty: all
    from_ms: int | None = None  # of recorded_at, inclusive, UTC
    to_ms: int | None = None  # exclusive


class Batch(NamedTuple):
    """Consecutive rows."""

    series: list[tuple[str, str]]  # device and metric
    positions: Ints  # in `series`, per row
    times_ms: Ints  # of recorded_at, UTC
    values: Floats
    ids: list[str]  # of entries
    entries: Ints  # in `ids`, per row

    def where(self, keep: NDArray[np.bool_]) -> Batch:
        """Some of the rows."""
        return self._replace(
            positions=self.positions[keep],
            times_ms=self.times_ms[keep],
            values=self.values[keep],
            entries=self.entries[keep],
        )

    def behind(self, entry: Id) -> NDArray[np.bool_]:
        """Whether each row is of an entry behind one."""
        are_behind = (parts_of(id_) > entry for id_ in self.ids)
        found: NDArray[np.bool_] = np.fromiter(are_behind, np.bool_, len(self.ids))[self.entries]
        return found


class Uncovered(NamedTuple):
    """Entries between two that may be in no file."""

    after_id: str
    first_id: str  # of the first row behind them


class RawRows:
    """The rows of one partition."""

    def __init__(self, db: Database, root: str, partition: int) -> None:
        """`root`: the directory of raw readings."""
        self._db = db
        self._root = Path(root)
        self._partition = partition
        self.until_id = _NEVER  # every entry up to it is in the files, or before an `Uncovered`
        self.number: int | None = 0  # of the entry `until_id`; None: unknown
        self.gap_ms = 0  # UTC; before it, entries were trimmed that are in no file; 0: none

    def read(self, after_id: str, wanted: Wanted) -> Iterator[Batch | Uncovered]:
        """The rows of the entries behind one, and where the files lack some.

        `until_id`, `number` and `gap_ms` are set at the end. Rows that are not wanted may be
        among them.

        Raises:
            BadRawFile: a file is missing or damaged.
            Unavailable: the database is, or files change faster than they can be read.
        """
        after, gone = after_id, list[str]()
        while True:
            try:
                for file in self._files_behind(after):
                    with self._opened(file) as opened:
                        gone.clear()
                        if _begins_behind(file, parts_of(after)):
                            yield Uncovered(after, file.first_id)
                        yield from self._batches(file, opened, parts_of(after), wanted)
                    after = file.until_id
            except _Gone as error:
                path = error.file.path
                if path in gone:
                    raise BadRawFile(self._root, error.file, "is missing") from None
                gone.append(path)
                if len(gone) == _LISTINGS_MAX:
                    raise Unavailable(
                        f"the raw files of partition {self._partition} change faster than they "
                        "can be read; run it again"
                    ) from None
            else:
                self._note_end(after)
                return

    def count(self) -> int:
        """How many rows the files have."""
        return sum(file.rows for file in raw_files.listed(self._db, self._partition))

    def _files_behind(self, after_id: str) -> list[RawFile]:
        listed = raw_files.listed(self._db, self._partition)
        after = parts_of(after_id)
        return [file for file in listed if parts_of(file.last_id) > after]

    def _note_end(self, until_id: str) -> None:
        """The files have changed at most behind this entry."""
        with self._db.reading() as connection:
            columns = schema.positions.c
            number = connection.scalar(
                select(columns.entries).where(
                    columns.partition == self._partition, columns.entry_id == until_id
                )
            )
            gaps = schema.gaps.c
            to_ms = select(func.max(gaps.to_ms)).where(gaps.partition == self._partition)
            self.gap_ms = int(connection.scalar(to_ms) or 0)
        self.until_id = until_id
        self.number = 0 if until_id == _NEVER else number

    @contextmanager
    def _opened(self, file: RawFile) -> Iterator[Any]:
        from pyarrow import parquet as pq  # noqa: PLC0415 (an extra)

        names = ["device", "metric", "entry_id"]
        try:
            opened = pq.ParquetFile(self._root / file.path, read_dictionary=names)
        except FileNotFoundError:
            raise _Gone(file) from None
        except (OSError, ValueError) as error:
            raise BadRawFile(self._root, file, f"cannot be read: {error}") from error
        with opened:
            if opened.metadata.num_rows != file.rows:
                problem = f"has {opened.metadata.num_rows} rows instead of {file.rows}"
                raise BadRawFile(self._root, file, problem)
            yield opened

    def _batches(self, file: RawFile, opened: Any, after: Id, wanted: Wanted) -> Iterator[Batch]:
        is_whole = parts_of(file.first_id) > after
        try:
            for group in _groups(opened.metadata, wanted, after):
                for rows in opened.iter_batches(BATCH_ROWS, [group], _COLUMNS, use_threads=False):
                    batch = _batch(rows)
                    yield batch if is_whole else batch.where(batch.behind(after))
        except (OSError, ValueError, LookupError) as error:
            raise BadRawFile(self._root, file, f"cannot be read: {error}") from error


class _Gone(Exception):
    """A file was removed since it was listed."""

    def __init__(self, file: RawFile) -> None:
        super().__init__(file.path)
        self.file = file


def _begins_behind(file: RawFile, after: Id) -> bool:
    """Whether entries between one and the first row of a file may be missing."""
    is_unknown = not file.after_id or parts_of(file.after_id) > after
    return is_unknown and parts_of(file.first_id) > after


def _batch(rows: Any) -> Batch:
    devices, device = _coded(rows.column("device"))
    metrics, metric = _coded(rows.column("metric"))
    codes, positions = np.unique(device * len(metrics) + metric, return_inverse=True)
    series = [(devices[code // len(metrics)], metrics[code % len(metrics)]) for code in codes]
    times_ms = rows.column("recorded_at").cast("int64").to_numpy()
    values = rows.column("value").to_numpy()
    return Batch(series, positions, times_ms, values, *_coded(rows.column("entry_id")))


def _coded(column: Any) -> tuple[list[str], Ints]:
    """The distinct texts of a column, and which of them is in each row."""
    return column.dictionary.to_pylist(), column.indices.to_numpy().astype(np.int64)


def _groups(metadata: Any, wanted: Wanted, after: Id) -> list[int]:
    """The row groups that may have wanted rows, by the statistics of their columns."""
    first_ms = str(after[0]).encode()
    ids = (first_ms, None) if len(first_ms) == _MS_DIGITS else (None, None)
    ranges: list[tuple[Any, Any]] = []  # of the first columns
    for names in (wanted.devices, wanted.metrics):
        ends = [name.encode() for name in names]
        ranges.append((min(ends, default=None), max(ends, default=None)))
    ranges.append((wanted.from_ms, None if wanted.to_ms is None else wanted.to_ms - 1))
    ranges += [(None, None), ids]

    def may_have(number: int) -> bool:
        columns = map(metadata.row_group(number).column, range(len(ranges)))
        return all(
            _overlaps(column.statistics, *ends)
            for column, ends in zip(columns, ranges, strict=True)
        )

    return [number for number in range(metadata.num_row_groups) if may_have(number)]


def _overlaps(statistics: Any, low: Any, high: Any) -> bool:
    """Whether a column may have a value between two; None: no limit."""
    if statistics is None or not statistics.has_min_max:
        return True
    is_below = low is not None and statistics.max_raw < low
    return not is_below and not (high is not None and statistics.min_raw > high)
