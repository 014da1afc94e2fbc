"""The readings of an export, in order of arrival by partition.

Those of the raw files come first, then those behind them in the stream: the border is the last
entry that the files include, so no reading is exported twice. What the files lack is read from
the stream as far as that goes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import redis

from jobs.export.rows import READINGS, Rows, of_raw, of_readings
from jobs.export.stream import Stream
from jobs.piece import time_ms
from tributary.errors import NoHistory
from tributary.history import raw_extra
from tributary.history.database import Database
from tributary.history.raw_rows import RawRows, Uncovered, Wanted
from tributary.model import pattern
from tributary.model.export import Spec
from tributary.operate.exports import Covered
from tributary.settings import Settings
from tributary.store.tombstone import parts_of


class _Log(NamedTuple):
    """Where the readings of a partition are."""

    stream: Stream
    raw: RawRows | None
    size: int  # rows and entries


class Readings:
    """What raw files and streams have now."""

    columns = READINGS

    def __init__(self, settings: Settings, client: redis.Redis, spec: Spec) -> None:
        """Raises `Misconfigured` if there are raw files, but no pyarrow to read them."""
        self._spec = spec
        exact = pattern.ANY not in "".join(spec.devices)
        devices = spec.devices if exact else ()
        self._wanted = Wanted(devices, spec.metrics, spec.from_ms, spec.to_ms)
        with contextlib.ExitStack() as on_error:
            self._db = _history_of(settings)
            if self._db is not None:
                on_error.callback(self._db.close)
            self._logs = [
                self._log(Stream(client, partition), settings, partition)
                for partition in range(settings.partitions)
            ]
            on_error.pop_all()

    def pieces(self) -> Iterator[tuple[Rows, float]]:
        """Rows, and which share of the readings has been read after them.

        Raises:
            Unavailable: Redis or the database is.
            BadRawFile: a raw file is missing or damaged.
        """
        total, done = max(1, sum(log.size for log in self._logs)), 0
        try:
            for log in self._logs:
                for rows, size in self._of_partition(log):
                    done += size
                    yield rows, done / total
        finally:
            if self._db is not None:
                self._db.close()

    def covered(self) -> Covered:
        """Which readings were there, once all are read."""
        since_ms = [log.stream.since_ms for log in self._logs]
        since_ms += [log.raw.gap_ms for log in self._logs if log.raw is not None]
        until_ms = max((log.stream.until_ms for log in self._logs), default=0)
        return Covered(max(since_ms, default=0) or None, until_ms or None)

    def _log(self, stream: Stream, settings: Settings, partition: int) -> _Log:
        if self._db is None:
            return _Log(stream, None, stream.entries)
        raw = RawRows(self._db, settings.raw_dir, partition)
        return _Log(stream, raw, stream.entries + raw.count())

    def _of_partition(self, log: _Log) -> Iterator[tuple[Rows, int]]:
        """Rows, and how many rows of files or entries they are from."""
        is_behind = True  # whether files may have what the stream has lost
        while is_behind:
            before = log.stream.after
            if log.raw is not None:
                yield from self._of_files(log.stream, log.raw)
            # Files that were written meanwhile have what was trimmed meanwhile.
            is_behind = log.stream.after != before
            yield from self._of_stream(log.stream, stop_at_gap=is_behind)
            is_behind = log.stream.is_at_gap

    def _of_files(self, stream: Stream, raw: RawRows) -> Iterator[tuple[Rows, int]]:
        for part in raw.read(stream.after, self._wanted):
            if not isinstance(part, Uncovered):
                yield of_raw(part, self._spec, stream.forgotten), len(part.values)
                continue
            if stream.after != part.after_id:
                stream.go_on_behind(part.after_id, None)
            yield from self._of_stream(stream, part.first_id)
            if stream.after == part.after_id:
                stream.since_ms = time_ms(part.first_id)
        if parts_of(raw.until_id) > parts_of(stream.after):
            stream.go_on_behind(raw.until_id, raw.number)

    def _of_stream(
        self, stream: Stream, before: str = "", *, stop_at_gap: bool = False
    ) -> Iterator[tuple[Rows, int]]:
        for batch in stream.batches(before, stop_at_gap=stop_at_gap):
            sizes = [batch.entries] + [0] * len(batch.parts)
            for part, size in zip(batch.parts, sizes, strict=False):
                yield of_readings(part.columns, self._spec, *part[1:]), size


def _history_of(settings: Settings) -> Database | None:
    """The history, if it lists raw files."""
    if not raw_extra.is_needed(settings):
        return None
    try:
        return Database.open(settings, migrate=False)
    except NoHistory:
        return None
