"""Rows → CSV, NDJSON or Parquet, a part at a time.

No cell is quoted: names of devices and metrics consist of letters, digits and `._:/-`, so none
has a comma, a quote or a line end. For the same reason none can do harm as a formula of a
spreadsheet: functions, references to other programs and links need `=`, `(`, `|` or `!`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from jobs.export.rows import Floats, Ints, Rows
from tributary.errors import Misconfigured
from tributary.model.export import Format

_PART_ROWS = 16_384  # formatted at once
_GROUP_ROWS = 65_536  # of a row group of Parquet


class Output(Protocol):
    """A file, as far as it is needed."""

    def write(self, data: bytes, /) -> object:
        """Write all of it."""


class Writer(Protocol):
    """Writes rows to a file; `close` completes it and leaves it open."""

    def write(self, rows: Rows) -> None:
        """Add rows."""

    def close(self) -> None:
        """Write what is left."""


def writer(format_: Format, file: Output, time: str, numbers: Sequence[str]) -> Writer:
    """The writer of a format; `time` and `numbers` name the columns beside device and metric.

    Raises:
        Misconfigured: Parquet without pyarrow.
    """
    if format_ == "parquet":
        return _Parquet(file, time, numbers)
    text = _csv(time, numbers) if format_ == "csv" else _ndjson(time, numbers)
    file.write(text.first_line.encode())
    return _TextWriter(file, text)


class _Text(NamedTuple):
    """How a row becomes a line: device, time and metric, then the numbers."""

    first_line: str
    device: str
    metric: str
    numbers: str
    missing: str


def _csv(time: str, numbers: Sequence[str]) -> _Text:
    """`car-7,2026-11-22T10:00:00.250Z,speed,72.0`."""
    names = ",".join(("device", time, "metric", *numbers))
    return _Text(f"{names}\n", "%s,", "Z,%s,", ",".join(["%s"] * len(numbers)) + "\n", "")


def _ndjson(time: str, numbers: Sequence[str]) -> _Text:
    """`{"device":"car-7","recorded_at":"…","metric":"speed","value":72.0}`."""
    cells = ",".join(f'"{name}":%s' for name in numbers)
    device, metric = f'{{"device":"%s","{time}":"', 'Z","metric":"%s",'
    return _Text("", device, metric, cells + "}\n", "null")


class _TextWriter:
    def __init__(self, file: Output, text: _Text) -> None:
        self._file = file
        self._text = text

    def write(self, rows: Rows) -> None:
        """Format and write the rows."""
        before = [self._text.device % device for device, _ in rows.series]
        behind = [self._text.metric % metric for _, metric in rows.series]
        for start in range(0, len(rows.positions), _PART_ROWS):
            self._file.write(self._lines(rows.part(start, start + _PART_ROWS), before, behind))

    def _lines(self, rows: Rows, before: list[str], behind: list[str]) -> bytes:
        index = rows.positions.tolist()
        times = np.datetime_as_string(rows.times_ms.astype("M8[ms]"), unit="ms").tolist()
        cells = (_cells(column, self._text.missing) for column in rows.numbers)
        columns = zip(
            [before[i] for i in index], times, [behind[i] for i in index], *cells, strict=True
        )
        return "".join(map(f"%s%s%s{self._text.numbers}".__mod__, columns)).encode()

    def close(self) -> None:
        """Nothing is left."""


def _cells(column: Ints | Floats, missing: str) -> Iterable[str]:
    """Numbers as text: the shortest form that reads back to the same double."""
    cells = map(repr, column.tolist())
    if column.dtype == np.int64 or not np.isnan(column).any():
        return cells
    return [missing if cell == "nan" else cell for cell in cells]


class _Parquet:
    """Row groups of `_GROUP_ROWS`; times are UTC milliseconds, numbers that are missing null."""

    def __init__(self, file: Output, time: str, numbers: Sequence[str]) -> None:
        try:
            import pyarrow as pa  # noqa: PLC0415 (an extra)
            from pyarrow import parquet  # noqa: PLC0415
        except ImportError:
            raise Misconfigured(
                "Parquet needs pyarrow; install it with pip install 'tributary[parquet]'"
            ) from None
        self._arrow: Any = pa
        kinds = [pa.int64() if name == "count" else pa.float64() for name in numbers]
        utc, text = pa.timestamp("ms", "UTC"), pa.string()
        names = ("device", time, "metric", *numbers)
        self._schema = pa.schema(zip(names, (text, utc, text, *kinds), strict=True))
        self._file = parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._pending: list[Any] = []
        self._rows = 0

    def write(self, rows: Rows) -> None:
        """Add rows, and write a group once there are enough."""
        for start in range(0, len(rows.positions), _GROUP_ROWS):
            part = rows.part(start, start + _GROUP_ROWS)
            self._pending.append(self._batch(part))
            self._rows += len(part.positions)
            if self._rows >= _GROUP_ROWS:
                self._flush()

    def close(self) -> None:
        """Write the last group and the footer."""
        self._flush()
        self._file.close()

    def _batch(self, rows: Rows) -> Any:
        pa = self._arrow
        names = [self._named(rows, which) for which in (0, 1)]
        times = pa.array(rows.times_ms).cast(self._schema.field(1).type)
        numbers = [pa.array(column, from_pandas=True) for column in rows.numbers]
        columns = [names[0], times, names[1], *numbers]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)

    def _named(self, rows: Rows, which: int) -> Any:
        """The devices (0) or metrics (1) of rows."""
        names = self._arrow.array([one[which] for one in rows.series], self._arrow.string())
        return names.take(self._arrow.array(rows.positions))

    def _flush(self) -> None:
        if self._rows:
            self._file.write_table(self._arrow.Table.from_batches(self._pending, self._schema))
        self._pending, self._rows = [], 0
