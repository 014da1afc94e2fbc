"""Writes an export to a file, a piece at a time, within bounds."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple, Protocol

import redis

from jobs.export import formats
from jobs.export.readings import Readings
from jobs.export.rows import Rows
from jobs.export.slots import History
from tributary.errors import TributaryError
from tributary.model.export import Format, Spec
from tributary.operate.exports import Covered
from tributary.settings import Settings


class LimitReached(TributaryError):
    """The export is larger than allowed."""

    code = "too_large"


class Limits(NamedTuple):
    """Bounds of one export."""

    rows: int
    size_bytes: int


class Progress(NamedTuple):
    """How far an export is."""

    share: float  # 0 … 1
    rows: int
    size_bytes: int


class Result(NamedTuple):
    """What was written."""

    rows: int
    size_bytes: int
    covered: Covered


class Source(Protocol):
    """Where the rows come from."""

    columns: tuple[str, tuple[str, ...]]  # of the time and of the numbers

    def pieces(self) -> Iterator[tuple[Rows, float]]:
        """Rows, and which share is done after them."""

    def covered(self) -> Covered:
        """What was there, once all pieces are read."""


def source_of(settings: Settings, client: redis.Redis, spec: Spec) -> Source:
    """Where the rows of an export are.

    Args:
        settings: with the number of partitions of the deployment.
        client: of its Redis.
        spec: what to export.

    Raises:
        Misconfigured: slots without a history.
        Unavailable: Redis or the database is.
    """
    if spec.what == "slots":
        return History(settings, spec)
    return Readings(settings, client, spec)


def write(
    source: Source,
    format_: Format,
    file: IO[bytes],
    report: Callable[[Progress], None],
    limits: Limits | None = None,
) -> Result:
    """Write an export; memory does not grow with its size.

    Args:
        source: of the rows.
        format_: of the file.
        file: written from its position on, and left open.
        report: called after each piece; what it raises ends the export.
        limits: None: there are none.

    Raises:
        LimitReached: it is larger than the limits.
        Misconfigured: Parquet without pyarrow.
        Unavailable: Redis or the database is.
        OSError: the file could not be written.
    """
    counted, rows = _Counted(file, limits), 0
    writer = formats.writer(format_, counted, *source.columns)
    for piece, share in source.pieces():
        rows += len(piece.positions)
        if limits is not None and rows > limits.rows:
            raise LimitReached(
                f"the export has more than {limits.rows} rows; choose fewer devices or metrics or "
                "a shorter span, or raise TRIBUTARY_EXPORT_MAX_ROWS"
            )
        writer.write(piece)
        report(Progress(min(share, 1.0), rows, counted.size_bytes))
    writer.close()
    return Result(rows, counted.size_bytes, source.covered())


def too_many_bytes() -> LimitReached:
    """The files of all exports are too large."""
    return LimitReached(
        "the files of exports take more than TRIBUTARY_EXPORT_MAX_BYTES; delete exports that are "
        "no longer needed, choose less, or raise it"
    )


class _Counted(io.RawIOBase):
    """A file that counts what is written to it."""

    def __init__(self, file: IO[bytes], limits: Limits | None) -> None:
        super().__init__()
        self._file = file
        self._limits = limits
        self.size_bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """Write all of it.

        Raises:
            LimitReached: the file would be too large.
        """
        self.size_bytes += len(data)
        if self._limits is not None and self.size_bytes > self._limits.size_bytes:
            raise too_many_bytes()
        self._file.write(data)
        return len(data)
