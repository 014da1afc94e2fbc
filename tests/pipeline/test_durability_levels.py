"""The durability level is checked against the server at start, and kept."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import pipeline
from support.pipeline import Run
from support.processes import Deployment, Server, request, stopped
from support.waiting import wait_until

from tributary.errors import Unavailable
from tributary.operate import status
from tributary.operate.forgetting import requests
from tributary.settings import Settings
from tributary.store import keys

Start = Callable[..., Server]


@pytest.mark.parametrize(
    ("level", "config", "remedy"),
    [
        ("aof", {"appendonly": "no"}, "CONFIG SET appendonly yes"),
        ("aof", {"appendfsync": "no"}, "CONFIG SET appendfsync everysec"),
        ("fsync", {"appendfsync": "everysec"}, "CONFIG SET appendfsync always"),
        ("replicated", {"appendfsync": "always"}, "start a replica"),
        ("memory", {"maxmemory-policy": "allkeys-lru"}, "CONFIG SET maxmemory-policy noeviction"),
    ],
)
def test_every_role_reports_the_remedy_if_a_server_violates_the_level(
    own_server: Start, run: Run, level: str, config: dict[str, str], remedy: str
):
    server = own_server(**config)
    settings = Settings(redis_url=server.url, durability=level, port=0)
    roles = ("ingest", "api", "aggregator")
    for process in [run(role, environ=pipeline.environ(settings)) for role in roles]:
        assert process.end() == 2
        assert remedy in process.text
        assert f"durability={level}" in process.text or level == "memory"


@pytest.mark.parametrize(
    ("level", "appendonly", "appendfsync"),
    [("memory", "no", "everysec"), ("aof", "yes", "everysec"), ("fsync", "yes", "always")],
)
def test_the_embedded_server_is_configured_for_the_level(
    tmp_path: Path, level: str, appendonly: str, appendfsync: str
):
    running = Deployment(tmp_path, "--durability", level)
    try:
        assert running.post("/record", {"speed": 1}) == (200, {"success": True})
        config = running.redis.config_get("append*")
        assert (config["appendonly"], config["appendfsync"]) == (appendonly, appendfsync)
    finally:
        assert running.stop() == 0


def test_the_embedded_server_has_no_replica(run: Run, tmp_path: Path):
    process = run("up", "--durability", "replicated", "--data-dir", str(tmp_path), "--port", "0")
    assert process.end() == 2
    assert "--redis-url" in process.text


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "flask"])
def test_replicated_waits_for_a_replica(own_server: Start, run: Run, *, lane: bool):
    master, replica = _pair(own_server)
    settings = Settings(
        redis_url=master.url, durability="replicated", lane=lane, redis_timeout_ms=1000
    )
    url = pipeline.ingest(run, settings)
    reading = {"device": "car-7", "speed": 1}

    def record(**headers: str) -> tuple[int, Any]:
        return request(url, "POST", "/record", reading, headers)

    assert record()[0] == 200
    _check_that_a_retry_counts_once(record, replica)
    assert status.read(master.client, settings).accepted == 2
    with stopped(replica.process):
        master.client.script_flush()
        assert record()[0] == 503
    master.client.script_flush()
    assert record()[0] == 200

    size_bytes = master.append_only_file.stat().st_size
    with stopped(replica.process):
        assert record()[0] == 503
        master.kill()
    os.truncate(master.append_only_file, size_bytes)
    master.start()
    run_id = master.client.info("server")["run_id"].encode()
    meta = keys.meta(keys.partition_of("car-7", settings.partitions))

    def is_reported() -> bool:
        record()  # Flask connects on the first request
        return bool(master.client.hget(meta, "run") == run_id)

    wait_until(is_reported, "ingest to report what it was acknowledged")
    # What no replica has confirmed was not acknowledged, so it is not reported as lost.
    assert status.read(master.client, settings).lost_at_restart == 0


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "flask"])
def test_replicated_waits_for_as_many_replicas_as_set(own_server: Start, run: Run, *, lane: bool):
    master, _ = _pair(own_server)
    settings = Settings(
        redis_url=master.url, durability="replicated", wait_replicas=2, lane=lane,
        redis_timeout_ms=1000,
    )  # fmt: skip
    url = pipeline.ingest(run, settings)
    refused, response = request(url, "POST", "/record", {"speed": 1}, {})
    assert refused == 503
    assert "1 of 2 replicas have confirmed" in response["error"]["message"]
    reasons = request(url, "GET", "/readyz", None, {})[1]["reasons"]
    assert any("1 of 2 replicas acknowledge writes" in reason for reason in reasons)


def test_replicated_waits_for_a_replica_of_a_tombstone(own_server: Start):
    master, replica = _pair(own_server)
    settings = Settings(redis_url=master.url, durability="replicated", redis_timeout_ms=1000)
    stream = keys.readings(keys.partition_of("car-7", settings.partitions))
    requests.ask(master.client, settings, ["car-7"])
    assert replica.client.xlen(stream) == 1
    with stopped(replica.process):
        with pytest.raises(Unavailable, match="no replica has confirmed it"):
            requests.ask(master.client, settings, ["car-7"])
        aof = Settings(redis_url=master.url, durability="aof")
        requests.ask(master.client, aof, ["car-7"])  # does not wait
    assert master.client.xlen(stream) == 3


def _check_that_a_retry_counts_once(
    record: Callable[..., tuple[int, Any]], replica: Server
) -> None:
    with stopped(replica.process):
        refused, response = record(Idempotency_Key="a")
        assert refused == 503
        assert "no replica" in response["error"]["message"]
        assert record(Idempotency_Key="a")[0] == 503
    assert record(Idempotency_Key="a") == (200, {"success": True, "duplicate": True})


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "flask"])
def test_with_fsync_a_killed_server_keeps_every_acknowledged_reading(
    own_server: Start, run: Run, *, lane: bool
):
    server = own_server(appendfsync="always")
    settings = Settings(redis_url=server.url, durability="fsync", lane=lane)
    url = pipeline.ingest(run, settings)
    acknowledged = 0
    for _ in range(3):
        for number in range(100):
            acknowledged += request(url, "POST", "/record", {"speed": number}, {})[0] == 200
        server.process.signal(signal.SIGKILL)
        server.process.end()
        server.start()
        wait_until(lambda: request(url, "GET", "/readyz", None, {})[0] == 200, "the server")
    assert acknowledged > 200
    assert status.read(server.client, settings).accepted == acknowledged


def _pair(own_server: Start) -> tuple[Server, Server]:
    """A master and its replica, synchronized."""
    master = own_server(appendfsync="always", port="0", repl_diskless_sync_delay="0")
    replica = own_server(replicaof=f"127.0.0.1 {master.listen()}")
    wait_until(lambda: _is_online(master), "the replica to follow")
    return master, replica


def _is_online(master: Server) -> bool:
    master.client.set("probe", 1)
    return bool(master.client.wait(1, 1000))
