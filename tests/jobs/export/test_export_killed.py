"""The processes of jobs are killed while they write an export."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from support.exporting import append
from support.pipeline import environ
from support.processes import Process
from support.waiting import wait_until

from tributary.model.clock import utc_ms
from tributary.model.export import Spec
from tributary.model.frame import Block, pack
from tributary.operate import exports
from tributary.settings import Settings

pytestmark = pytest.mark.kills

ROWS_PER_ENTRY, ENTRIES = 1_000, 400


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_another_process_finishes_the_export(
    change: Callable[..., Settings],
    client: redis.Redis,
    run: Callable[..., Process],
    tmp_path: Path,
):
    settings = change(partitions=1, data_dir=str(tmp_path), history="off")
    blocks = [Block("car-7", n, {"speed": float(n)}) for n in range(ROWS_PER_ENTRY)]
    append(client, pack(blocks), ROWS_PER_ENTRY, ENTRIES)
    id_ = exports.create(client, settings, Spec(), None, utc_ms()).record.id
    exports.enqueue(settings, id_)

    def state() -> exports.State:
        found = exports.find(client, id_, utc_ms())
        assert found is not None
        return found.state

    first = run("jobs", environ=environ(settings))
    wait_until(lambda: state().rows > 0, "the first rows", 60)
    workers = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
    for pid in (first.pid, *map(int, workers)):  # a worker could finish when only its parent dies
        os.kill(pid, signal.SIGKILL)
    assert state().state == "running"
    assert [path.suffix for path in exports.directory(settings).iterdir()] == [".part"]
    second = run("jobs", environ=environ(settings))
    wait_until(lambda: state().state == "done", f"the export; {second.text[-500:]}", 120)
    assert state().attempts == 2
    with (exports.directory(settings) / state().file).open() as file:
        values = [float(row["value"]) for row in csv.DictReader(file)]
    assert values == [float(n) for n in range(ROWS_PER_ENTRY)] * ENTRIES
