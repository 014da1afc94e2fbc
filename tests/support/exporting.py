"""Streams for tests of exports, and the rows of an export."""

from __future__ import annotations

import contextlib
import csv
import io
from typing import Any

import numpy as np
import redis

from jobs.export import work
from jobs.export.work import Progress
from tributary.model import reading
from tributary.model.export import Spec
from tributary.model.frame import Block
from tributary.operate.exports import Covered
from tributary.settings import Settings
from tributary.store import keys, redis_client

START_MS = 1_700_000_000_000
ALL = Spec()
Row = tuple[str, int, str, float]


def exported(settings: Settings, spec: Spec = ALL) -> tuple[list[Row], Covered, list[Progress]]:
    file, reports = io.BytesIO(), list[Progress]()
    with contextlib.closing(redis_client.connect(settings)) as client:
        source = work.source_of(settings, client, spec)
        result = work.write(source, "csv", file, reports.append)
    rows = [
        (row["device"], reading.time_ms(row["recorded_at"]), row["metric"], float(row["value"]))
        for row in csv.DictReader(io.StringIO(file.getvalue().decode()))
    ]
    assert (result.rows, result.size_bytes) == (len(rows), len(file.getvalue()))
    return rows, result.covered, reports


def columns(device: str, times_ms: list[int], **values: list[float]) -> Block:
    packed = {name: np.array(column, "<f8").tobytes() for name, column in values.items()}
    return Block(device, np.array(times_ms, "<i8").tobytes(), packed)


def append(client: redis.Redis, frame: bytes, readings: int, entries: int) -> None:
    """Append the frame several times to partition 0, as if the entries were applied."""
    first = int(client.hget(keys.meta(0), "entries") or 0) + 1
    pipeline = client.pipeline(transaction=False)
    for number in range(first, first + entries):
        fields: Any = {"e": number, "n": number * readings, "r": frame}
        pipeline.xadd(keys.readings(0), fields)
    last = pipeline.execute()[-1]
    total = first + entries - 1
    client.hset(keys.meta(0), mapping={"entries": total, "done_entries": total, "hwm": last})
