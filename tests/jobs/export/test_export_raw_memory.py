"""The memory of an export from raw files does not grow with its size."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from support import history, memory
from support.exporting import START_MS, append

from jobs.export import work
from tributary.model.export import Spec
from tributary.model.frame import Block, pack
from tributary.settings import Settings
from tributary.store import keys

PER_ENTRY = 1_000
GROWTH_MAX_BYTES = 24 * 1_048_576  # as of an export from the stream


@pytest.mark.slow
def test_raw_files_are_read_in_batches(
    change: Callable[..., Settings], client: redis.Redis, tmp_path: Path
):
    settings = change(partitions=1, data_dir=str(tmp_path / "data"), raw_dir=str(tmp_path / "raw"))
    blocks = [Block(f"car-{n % 100}", START_MS + n, {"m": n / 7}) for n in range(PER_ENTRY)]
    frame = pack(blocks)

    def export() -> work.Result:
        source = work.source_of(settings, client, Spec())
        with (tmp_path / "file").open("wb") as file:
            return work.write(source, "csv", file, lambda _progress: None)

    def add(entries: int) -> None:
        append(client, frame, PER_ENTRY, entries)
        history.archive(settings)
        client.xtrim(keys.readings(0), maxlen=0, approximate=False)

    add(100)
    export()  # imports, caches, buffers
    add(300)
    before_bytes = memory.resident_bytes(os.getpid())
    memory.forget_peak(os.getpid())
    assert export().rows == PER_ENTRY * 400
    assert memory.peak_bytes(os.getpid()) - before_bytes < GROWTH_MAX_BYTES
