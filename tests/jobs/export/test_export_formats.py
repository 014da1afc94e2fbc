"""Rows as CSV, NDJSON and Parquet: every row once, every double exact."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from jobs.export import formats
from jobs.export.rows import READINGS, SLOTS, Rows
from tributary.model import reading

SERIES = [("car-7", "speed"), ("-a:b/c", "x.y"), ("car-8", "_z")]
TIMES = st.integers(0, 253_402_300_799_999)
DOUBLES = st.floats(allow_nan=False, allow_infinity=False)
READING_ROWS = st.lists(st.tuples(st.integers(0, 2), TIMES, DOUBLES), max_size=20)


def written(format_: Any, columns: Any, *pieces: Rows) -> bytes:
    file = io.BytesIO()
    writer = formats.writer(format_, file, *columns)
    for rows in pieces:
        writer.write(rows)
    writer.close()
    return file.getvalue()


def parsed(format_: str, content: bytes) -> list[dict[str, Any]]:
    """The rows, with times in UTC ms and numbers as numbers."""
    if format_ == "parquet":
        rows = parquet.read_table(io.BytesIO(content)).to_pylist()
        for row in rows:
            for name in ("recorded_at", "from"):
                if name in row:
                    row[name] = round(row[name].timestamp() * 1000)
        return rows
    if format_ == "csv":
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        texts = ("device", "metric", "recorded_at", "from")
        for row in rows:
            numbers = {k: float(v) if v else None for k, v in row.items() if k not in texts}
            row.update(numbers)
    else:
        rows = [json.loads(line) for line in content.splitlines()]
    for row in rows:
        for name in ("recorded_at", "from"):
            if name in row:
                row[name] = reading.time_ms(row[name])
    return rows


@pytest.mark.parametrize("format_", ["csv", "ndjson", "parquet"])
@given(READING_ROWS)
def test_readings_are_read_back_exactly(format_: str, given_rows: list[tuple[int, int, float]]):
    positions, times, values = (
        (list(column) for column in zip(*given_rows, strict=True)) if (given_rows) else ([], [], [])
    )
    rows = Rows(
        SERIES,
        np.array(positions, np.int64),
        np.array(times, np.int64),
        [np.array(values, np.float64)],
    )
    half = len(times) // 2
    content = written(format_, READINGS, rows.part(0, half), rows.part(half, len(times)))
    assert parsed(format_, content) == [
        {"device": SERIES[p][0], "recorded_at": t, "metric": SERIES[p][1], "value": v}
        for p, t, v in given_rows
    ]


@pytest.mark.parametrize("format_", ["csv", "ndjson", "parquet"])
def test_a_number_that_is_undefined_is_empty_or_null(format_: str):
    numbers = [np.array([1, 2])] + [np.array(pair) for pair in
                                    ([5.0, 6.5], [math.nan, 0.5], [5.0, 6.0], [5.0, 7.0])]  # fmt: skip
    rows = Rows(SERIES, np.array([0, 0]), np.array([0, 60_000]), numbers)
    found = parsed(format_, written(format_, SLOTS, rows))
    assert [row["stddev"] for row in found] == [None, 0.5]
    assert [(row["from"], row["count"], row["mean"]) for row in found] == [
        (0, 1, 5.0),
        (60_000, 2, 6.5),
    ]


def test_the_columns_of_text_formats():
    rows = Rows(SERIES[:1], np.array([0]), np.array([1_795_341_600_250]), [np.array([72.0])])
    assert written("csv", READINGS, rows).decode() == (
        "device,recorded_at,metric,value\ncar-7,2026-11-22T10:00:00.250Z,speed,72.0\n"
    )
    assert written("ndjson", READINGS, rows).decode() == (
        '{"device":"car-7","recorded_at":"2026-11-22T10:00:00.250Z","metric":"speed","value":72.0}\n'
    )


def test_row_groups_of_parquet_are_bounded():
    size = 300_000
    rows = Rows(SERIES, np.zeros(size, np.int64), np.arange(size), [np.arange(size) * 1.5])
    file = parquet.ParquetFile(io.BytesIO(written("parquet", READINGS, rows)))
    groups = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert sum(groups) == size
    assert max(groups) <= 65_536
