"""The memory of an export does not grow with its size."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from support import memory
from support.exporting import append

from jobs.export import work
from tributary.model.export import Spec
from tributary.model.frame import Block, pack
from tributary.settings import Settings

START_MS = 1_700_000_000_000
PER_ENTRY = 1_000
GROWTH_MAX_BYTES = 24 * 1_048_576  # 400,000 rows of CSV take 27 MB


@pytest.mark.slow
@pytest.mark.parametrize(("format_", "entries"), [("csv", 400), ("ndjson", 400), ("parquet", 400)])
def test_memory_does_not_grow_with_rows(
    change: Callable[..., Settings],
    client: redis.Redis,
    tmp_path: Path,
    format_: Any,
    entries: int,
):
    settings = change(partitions=1)
    devices = [f"car-{number}" for number in range(100)]
    blocks = [
        Block(devices[n % 100], START_MS + n, {"engine_temperature": n / 7})
        for n in range(PER_ENTRY)
    ]
    frame = pack(blocks)

    def export() -> work.Result:
        source = work.source_of(settings, client, Spec(format=format_))
        with (tmp_path / "file").open("wb") as file:
            return work.write(source, format_, file, lambda _progress: None)

    append(client, frame, PER_ENTRY, 100)
    export()  # imports, caches, buffers
    append(client, frame, PER_ENTRY, entries - 100)
    before_bytes = memory.resident_bytes(os.getpid())
    memory.forget_peak(os.getpid())
    assert export().rows == PER_ENTRY * entries
    assert memory.peak_bytes(os.getpid()) - before_bytes < GROWTH_MAX_BYTES
