"""The readings and errors of a body of line protocol, by line."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ingest.batch import Batch
from ingest.doors.influx import body, times
from ingest.doors.influx.times import Context
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.settings import Settings

NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
NOW_NS = NOW_MS * 1_000_000
RULES = Rules(Settings(batch_max_readings=1_000))
NS = Context(times.v1(""), NOW_MS, RULES)


class Row(NamedTuple):
    device: str
    time_ms: int
    metrics: dict[str, float]


def rows(batch: Batch) -> dict[int, list[Row]]:
    """The readings of each line, in its order."""
    found: list[Row] = []
    for partition, blocks in batch.blocks.items():
        for block in blocks:
            named = [block.device] if isinstance(block.device, str) else block.device
            assert {RULES.devices[name] for name in named} == {partition}
            if not isinstance(block.recorded_at_ms, bytes):
                found.append(Row(named[0], block.recorded_at_ms, dict(block.metrics)))  # type: ignore[arg-type]
                continue
            times_ms = np.frombuffer(block.recorded_at_ms, np.int64).tolist()
            named = named * len(times_ms) if len(named) == 1 else named
            columns = [np.frombuffer(c).tolist() for c in block.metrics.values()]  # type: ignore[arg-type]
            for name, time_ms, *values in zip(named, times_ms, *columns, strict=True):
                found.append(Row(name, time_ms, dict(zip(block.metrics, values, strict=True))))
    order = range(len(found)) if batch.order is None else [int(index) for index in batch.order]
    lines: dict[int, list[Row]] = {}
    for index, row in zip(order, found, strict=True):
        lines.setdefault(index, []).append(row)
    assert batch.readings == len(found)
    return lines


def parse(text: str | bytes, context: Context = NS) -> tuple[dict[int, list[Row]], dict[int, str]]:
    """Readings and errors by the index of their line."""
    content = text.encode() if isinstance(text, str) else text
    rejected: list[Refused] = []
    found = rows(body.parse(content, context, rejected))
    return found, {each.index or 0: each.message for each in rejected}
