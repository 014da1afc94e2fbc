"""Forgetting in the databases of the history, and on a Redis Cluster."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support import folding
from support.cluster import Cluster
from support.forgetting import START_MS, block, texts
from support.postgres import Postgres
from support.processes import Server

from jobs import archive
from jobs.forget import job
from tributary.history import reads, slots, store
from tributary.history.database import Database
from tributary.history.position import Position
from tributary.model.frame import pack
from tributary.operate.forgetting import history_rows, requests
from tributary.settings import Settings
from tributary.store import keys, redis_client


@pytest.fixture(params=["sqlite", "postgresql"])
def stored_in(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[str, Path, Postgres | None]]:
    """The URL of a database, the folder of its files, and its server."""
    if request.param == "sqlite":
        yield "", tmp_path / "data", None
        return
    with contextlib.closing(Postgres()) as postgres:
        yield postgres.create(), postgres.folder / "data" / "base", postgres


def test_it_waits_for_the_history_and_forgets_there_too(
    site: tuple[Server, Settings],
    stored_in: tuple[str, Path, Postgres | None],
    monkeypatch: pytest.MonkeyPatch,
):
    server, settings = site
    url, folder, postgres = stored_in
    settings = msgspec.structs.replace(settings, history="on", history_url=url)
    client, name = server.client, f"gone-{secrets.token_hex(8)}"
    partition = keys.partition_of(name, 2)
    for device in (name, "kept"):
        folding.append(client, settings, [block(device, 0)])
    folding.aggregate(settings, client)
    db = Database.open(settings, migrate=True)
    fill(db, partition, name, "kept")
    assert requests.resolve(client, settings, name[:9] + "*") == [name]
    request = requests.ask(client, settings, [name])
    folding.aggregate(settings, client)
    with monkeypatch.context() as patch:
        patch.setattr(archive, "run", lambda *_: {})  # another worker has begun with it
        assert job.run(settings) == {"finished": 0, "waiting": 1}
    assert requests.progress(client, request) == "history"
    assert job.run(settings) == {"finished": 1, "waiting": 0}
    if postgres is not None:
        postgres.execute("CHECKPOINT")
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert [path.name for path in files if name.encode() in path.read_bytes()] == []
    assert any(b"kept" in path.read_bytes() for path in files)
    db.close()


def fill(db: Database, partition: int, *devices: str) -> None:
    """Add minutes of devices to the history."""
    times = np.arange(100) * 60_000 + START_MS
    series = [(device, "m") for device in devices]
    repeats = np.full(len(devices), 100)
    values = np.arange(100.0 * len(devices))
    with store.begin(db, partition) as transaction:
        transaction.merge(
            slots.summarize(series, repeats, np.tile(times, len(devices)), values, slots.MINUTE_MS)
        )


def test_a_history_that_is_off_is_cleaned_by_the_job(site: tuple[Server, Settings]):
    server, settings = site
    client, name = server.client, f"gone-{secrets.token_hex(8)}"
    db = Database.open(settings, migrate=True)
    fill(db, keys.partition_of(name, 2), name, "kept")
    folding.append(client, settings, [block(name, 0)])
    request = requests.ask(client, settings, [name])
    folding.aggregate(settings, client)
    assert job.run(settings)["finished"] == 1
    report = requests.report(client, request)
    assert report is not None
    assert report.deleted["history slots"] > 100
    held = [
        path for path in Path(settings.data_dir).iterdir() if name.encode() in path.read_bytes()
    ]
    assert held == []
    db.close()


def test_every_master_of_a_cluster_is_cleaned(tmp_path: Path):
    config = {"appendonly": "yes", "rdbcompression": "no"}
    with contextlib.closing(Cluster(tmp_path / "cluster", config=config)) as cluster:
        settings = Settings(
            redis_url=cluster.url, heartbeat_ms=100, history="off", data_dir=str(tmp_path)
        )
        devices = [f"gone-{n}-{secrets.token_hex(6)}" for n in range(20)]
        with contextlib.closing(redis_client.connect(settings)) as client:
            for device in (*devices, "kept"):
                folding.append(client, settings, [block(device, 0)])
            folding.aggregate(settings, client)
            request = requests.ask(client, settings, devices)
            folding.aggregate(settings, client)
            assert job.run(settings)["waiting"] == 0
            report = requests.report(client, request)
        assert report is not None
        assert report.devices == 20
        for node in cluster.masters:
            assert b"gone-" not in texts(node.client)
        files = list((tmp_path / "cluster").rglob("*.aof"))
        assert files
        assert [path for path in files if b"gone-" in path.read_bytes()] == []


@pytest.mark.parametrize("returns", [False, True])
@pytest.mark.parametrize("is_behind", [False, True])
def test_rows_that_are_left_because_a_tombstone_was_trimmed(
    site: tuple[Server, Settings], *, is_behind: bool, returns: bool
):
    """They are deleted unless the device has recorded since: then old and new ones are mixed."""
    server, settings = site
    settings = msgspec.structs.replace(settings, history="on")
    client, partition = server.client, keys.partition_of("gone", 2)
    folding.append(client, settings, [block("gone", 0)])
    with contextlib.closing(Database.open(settings, migrate=True)) as db:
        fill(db, partition, "gone", "kept")
        request = requests.ask(client, settings, ["gone"])
        frame = pack([block("gone" if returns else "kept", 1)])
        folding.append_packed(client, partition, frame, 1)
        folding.aggregate(settings, client)
        hwm = client.hget(keys.meta(partition), "hwm").decode()
        if is_behind:  # nothing that it could read is before the tombstone
            client.xtrim(keys.readings(partition), minid=hwm, approximate=False)
        else:
            with store.begin(db, partition) as transaction:
                transaction.advance(Position(hwm, 3, 2))
        assert job.run(settings) == {"finished": 1, "waiting": 0}
        left = history_rows.existing(db, ["gone", "kept"])
        assert left == {"kept", *(["gone"] if returns and not is_behind else [])}
    report = requests.report(client, request)
    assert report is not None
    assert (report.left[0].where == "1 devices") is returns


def test_the_history_applies_a_tombstone_that_was_trimmed_before_it_read_it(
    site: tuple[Server, Settings],
):
    server, settings = site
    settings = msgspec.structs.replace(settings, history="on")
    client, partition = server.client, keys.partition_of("gone", 2)
    for second in range(3):
        folding.append(client, settings, [block("gone", second)])
    folding.aggregate(settings, client)
    archive.run(settings, partition)
    requests.ask(client, settings, ["gone"])
    folding.append(client, settings, [block("gone", 7)])
    folding.aggregate(settings, client)
    client.xtrim(keys.readings(partition), maxlen=1, approximate=False)
    assert archive.run(settings, partition)["gaps"] == 1
    with contextlib.closing(Database.open(settings, migrate=False)) as db:
        _, cells = reads.read(db, "gone", "m", slots.MINUTE_MS, 0, 1 << 62)
    assert cells["mean"].tolist() == [7.0]
