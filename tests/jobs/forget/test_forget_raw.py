"""Forgetting in the files of raw readings."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.dataset
import pytest
from support import folding
from support.forgetting import block
from support.processes import Server

from jobs import archive
from jobs.forget import job, raw_rows
from tributary.errors import Unavailable
from tributary.history.database import Database
from tributary.operate.forgetting import requests
from tributary.settings import Settings
from tributary.store import keys


@pytest.fixture
def raw(site: tuple[Server, Settings], tmp_path: Path) -> tuple[Server, Settings, str]:
    """Raw readings of a device and of one of the same partition that is kept."""
    server, settings = site
    settings = msgspec.structs.replace(settings, history="on", raw_dir=str(tmp_path / "raw"))
    name = f"gone-{secrets.token_hex(8)}"
    kept = next(
        f"kept-{n}" for n in range(99)
        if keys.partition_of(f"kept-{n}", 2) == keys.partition_of(name, 2)
    )  # fmt: skip
    for device in (name, kept):
        folding.append(server.client, settings, [block(device, 0)])
    folding.aggregate(settings, server.client)
    archive.run(settings, keys.partition_of(name, 2))
    return server, settings, name


def devices(settings: Settings) -> set[str]:
    table: Any = pyarrow.dataset.dataset(settings.raw_dir, partitioning="hive").to_table()
    return {name[:4] for name in table["device"].to_pylist()}


def test_the_job_looks_at_raw_files(raw: tuple[Server, Settings, str]):
    server, settings, name = raw
    assert devices(settings) == {"gone", "kept"}
    request = requests.ask(server.client, settings, [name])
    folding.aggregate(settings, server.client)
    assert job.run(settings) == {"finished": 1, "waiting": 0}
    assert devices(settings) == {"kept"}
    report = requests.report(server.client, request)
    assert report is not None
    assert report.checked["raw files"] == 1


def test_rows_that_the_reader_has_left_are_erased(
    raw: tuple[Server, Settings, str], monkeypatch: pytest.MonkeyPatch
):
    _, settings, name = raw
    partition = keys.partition_of(name, 2)
    with contextlib.closing(Database.open(settings, migrate=True)) as db:
        assert raw_rows.search(settings, db, partition, [name]) == (1, 1)
        with monkeypatch.context() as patch:
            patch.setattr("jobs.raw_change.RawChange.apply", lambda *_: False)
            with pytest.raises(Unavailable, match="have changed"):
                raw_rows.erase(settings, db, partition, [name])
        assert devices(settings) == {"gone", "kept"}
        assert raw_rows.erase(settings, db, partition, [name]) == 1
        assert raw_rows.search(settings, db, partition, [name]) == (1, 0)
        assert raw_rows.erase(settings, db, partition, [name]) == 0
    assert devices(settings) == {"kept"}
