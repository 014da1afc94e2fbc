"""Parquet files as NDJSON; needs the extra `parquet`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import msgspec

from tributary.errors import Misconfigured

MAGIC = b"PAR1"
_BATCH_ROWS = 4096


def ndjson(file: IO[bytes]) -> Iterator[bytes]:
    """The rows of a Parquet file as lines of JSON, a batch at a time.

    Raises:
        Misconfigured: pyarrow is not installed, or the file is damaged.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 (an extra)
        from pyarrow import parquet as pq  # noqa: PLC0415
    except ImportError:
        raise Misconfigured(
            "Parquet needs pyarrow; install it with pip install 'tributary[parquet]'"
        ) from None
    try:
        for batch in pq.ParquetFile(file).iter_batches(_BATCH_ROWS):
            fields = [_without_ns(field, pa) for field in batch.schema]
            rows = batch.cast(pa.schema(fields), safe=False).to_pylist()
            yield b"".join(_encode(row) + b"\n" for row in rows)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Misconfigured(f"the Parquet file cannot be read: {str(error)[:200]}") from None


def _without_ns(field: Any, pa: Any) -> Any:
    """A column of nanoseconds as one of microseconds, which Python has a type for."""
    if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
        return field.with_type(pa.timestamp("us", field.type.tz))
    return field


def _encode(row: dict[str, Any]) -> bytes:
    return msgspec.json.encode(row, enc_hook=str)
