"""Raw readings as Parquet files: day=2026-11-26/partition=3/<first entry>.parquet.

The day is that of the entries, UTC. Columns: device, metric, recorded_at (timestamp, ms, UTC),
value, entry_id. A file is written under a hidden name, and renamed in the transaction that lists
it and advances the position, which has the partition to itself; so a file without a line in the
list is an orphan of a process that was killed, and is removed. Readers that follow the list see
each row once at any time; those that read the directory, except for the moment of a replacement.
The rows of a file, and the files in the order of the list, are in order of arrival.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jobs.piece import Part, Piece, time_ms
from tributary.errors import Unavailable
from tributary.history.raw_files import RawFile
from tributary.history.slots import DAY_MS
from tributary.store.tombstone import parts_of

BATCH_ROWS = 65_536  # of a copy, held in memory
_SUFFIX, _HIDDEN = ".parquet", ".tmp"


class Written(NamedTuple):
    """A file under its hidden name, and what it becomes."""

    hidden: Path
    file: RawFile


class RawDirectory:
    """The files of one partition.

    Every method raises `Unavailable` if the file system reports an error.
    """

    def __init__(self, root: str, partition: int) -> None:
        self.partition = partition
        self._root = Path(root)

    def write(self, piece: Piece, forgotten: Mapping[str, Collection[str]]) -> list[Written]:
        """Write the readings of a piece under hidden names, a file per day."""
        tables: list[Any] = []
        for step in piece.steps:
            if isinstance(step, Part):
                tables.append(_table(step))
            else:
                gone = forgotten.get(step.entry_id, ())
                tables = [without(table, gone) for table in tables]
        found: dict[str, list[Any]] = {}
        for table in tables:
            for day, rows in _by_day(table):
                found.setdefault(day, []).append(rows)
        written = [
            self._write(day, _first_id(parts), _last_id(parts), "", parts)
            for day, parts in found.items()
            if sum(part.num_rows for part in parts)
        ]
        ends = [piece.after.entry_id, *(each.file.last_id for each in written[:-1])]
        ends.append(piece.position.entry_id)
        return [
            Written(hidden, file._replace(after_id=after_id, until_id=until_id))
            for (hidden, file), (after_id, until_id) in zip(written, pairwise(ends), strict=False)
        ]

    def copy(self, files: Sequence[RawFile], forgotten: Collection[str] = ()) -> Written | None:
        """Write the rows of files of one day into one, without devices; None if none is left."""
        first, last = files[0].first_id, files[-1].last_id
        generation = 1 + max(_generation(file.path) for file in files)
        name = f"_{last}.{generation}"
        hidden, file = self._write(files[0].day, first, last, name, self._rows(files, forgotten))
        if file.rows == 0:
            hidden.unlink()
            return None
        after_id, until_id = files[0].after_id, files[-1].until_id
        return Written(hidden, file._replace(after_id=after_id, until_id=until_id))

    def naming(self, files: Iterable[RawFile], devices: Collection[str]) -> list[RawFile]:
        """The files that have rows of one of these devices."""
        return [file for file in files if self._has(file, devices)]

    def publish(self, written: Iterable[Written]) -> None:
        """Give files their names; the transaction that lists them follows."""
        with _failures():
            for hidden, file in written:
                hidden.rename(self._root / file.path)
                _sync(hidden.parent)

    def delete(self, files: Iterable[RawFile]) -> None:
        """Delete files that are not in the list any more."""
        with _failures():
            for file in files:
                (self._root / file.path).unlink(missing_ok=True)

    def discard(self, written: Iterable[Written]) -> None:
        """Delete files that are not needed."""
        for each in written:
            each.hidden.unlink(missing_ok=True)

    def remove_unlisted(self, listed: Iterable[RawFile], days: Collection[str] = ()) -> int:
        """Delete files that are not in the list; call it with the partition locked.

        Hidden files may be those of a running process, and are left for a day.

        Returns:
            How many were deleted.
        """
        wanted, removed = {self._root / file.path for file in listed}, 0
        pattern = f"day=*/partition={self.partition}"
        folders = [self._root / _folder(day, self.partition) for day in days]
        with _failures():
            for folder in folders or self._root.glob(pattern):
                for path in folder.glob("*") if folder.exists() else ():
                    if path not in wanted and not _is_recent(path):
                        path.unlink(missing_ok=True)
                        removed += 1
        return removed

    def _write(self, day: str, first: str, last: str, name: str, parts: Iterable[Any]) -> Written:
        from pyarrow import parquet as pq  # noqa: PLC0415 (an extra)

        folder = self._root / _folder(day, self.partition)
        hidden = folder / f".{first}-{secrets.token_hex(8)}{_HIDDEN}"
        rows = 0
        with _failures():
            folder.mkdir(parents=True, exist_ok=True)
            with hidden.open("wb") as file:
                with pq.ParquetWriter(file, _schema(), compression="zstd") as writer:
                    for part in parts:
                        writer.write_table(part, row_group_size=BATCH_ROWS)
                        rows += part.num_rows
                file.flush()
                os.fsync(file.fileno())
            size_bytes = hidden.stat().st_size
        path = f"{_folder(day, self.partition)}/{first}{name}{_SUFFIX}"
        return Written(hidden, RawFile(path, self.partition, day, first, last, rows, size_bytes))

    def _rows(self, files: Iterable[RawFile], forgotten: Collection[str]) -> Iterable[Any]:
        import pyarrow as pa  # noqa: PLC0415 (an extra)
        from pyarrow import parquet as pq  # noqa: PLC0415

        for file in files:
            with _failures(), pq.ParquetFile(self._root / file.path) as opened:
                for batch in opened.iter_batches(BATCH_ROWS):
                    yield without(pa.Table.from_batches([batch]), forgotten)

    def _has(self, file: RawFile, devices: Collection[str]) -> bool:
        from pyarrow import parquet as pq  # noqa: PLC0415 (an extra)

        with _failures(), pq.ParquetFile(self._root / file.path) as opened:
            return any(
                not set(devices).isdisjoint(batch.column(0).unique().to_pylist())
                for batch in opened.iter_batches(BATCH_ROWS, columns=["device"])
            )


def without(table: Any, devices: Collection[str]) -> Any:
    """The rows of a table that are of other devices."""
    import pyarrow as pa  # noqa: PLC0415 (an extra)
    import pyarrow.compute as pc  # noqa: PLC0415

    if not devices:
        return table
    gone = pc.is_in(table["device"], value_set=pa.array(sorted(devices), pa.string()))
    return table.filter(pc.invert(gone))


def _schema() -> Any:
    import pyarrow as pa  # noqa: PLC0415 (an extra)

    return pa.schema(
        [
            ("device", pa.string()),
            ("metric", pa.string()),
            ("recorded_at", pa.timestamp("ms", tz="UTC")),
            ("value", pa.float64()),
            ("entry_id", pa.string()),
        ]
    )


def _table(part: Part) -> Any:
    import pyarrow as pa  # noqa: PLC0415 (an extra)

    columns = part.columns
    index = pa.array(np.repeat(np.arange(len(columns.series)), columns.repeats))
    entries = pa.array([id_.decode() for id_ in part.ids], pa.string())
    return pa.table(
        [
            pa.array([device for device, _ in columns.series], pa.string()).take(index),
            pa.array([metric for _, metric in columns.series], pa.string()).take(index),
            pa.array(columns.times_ms, pa.timestamp("ms", tz="UTC")),
            pa.array(columns.values, pa.float64()),
            entries.take(pa.array(part.entry_of(columns.reading))),
        ],
        schema=_schema(),
    )


def _by_day(table: Any) -> Iterable[tuple[str, Any]]:
    """The rows by day of their entries, in the order of arrival."""
    import pyarrow as pa  # noqa: PLC0415 (an extra)

    ids = table["entry_id"].to_pylist()
    days = np.array([time_ms(id_) // DAY_MS for id_ in ids], np.int64)
    for number in np.unique(days).tolist():
        yield day_of(number * DAY_MS), table.filter(pa.array(days == number))


def day_of(at_ms: int) -> str:
    """The day of a time, UTC, as in the names of folders."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d")


def _first_id(parts: Sequence[Any]) -> str:
    return min((id_ for part in parts for id_ in _ids(part)), key=parts_of)


def _last_id(parts: Sequence[Any]) -> str:
    return max((id_ for part in parts for id_ in _ids(part)), key=parts_of)


def _ids(table: Any) -> list[str]:
    found: list[str] = table["entry_id"].unique().to_pylist()
    return found


def _folder(day: str, partition: int) -> str:
    return f"day={day}/partition={partition}"


def _generation(path: str) -> int:
    """How often the rows of a file were copied: 0 if its name has no number."""
    number = path.removesuffix(_SUFFIX).rpartition(".")[2]
    return int(number) if number.isdigit() else 0


def _is_recent(path: Path) -> bool:
    if path.suffix != _HIDDEN:
        return False
    age_s = datetime.now(UTC).timestamp() - path.stat().st_mtime
    return age_s < DAY_MS / 1000


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _failures() -> Iterator[None]:
    """Raise errors of the file system as `Unavailable`."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"raw_dir: {error}; free space, or make the directory writable for this user"
        ) from error
