"""A server that rejects writes: status and readiness report the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from support import pipeline
from support.pipeline import Run
from support.processes import Deployment, Server, request, stopped, tributary
from support.waiting import wait_until

from tributary.operate import readiness, status
from tributary.settings import Settings

Start = Callable[..., Server]


def is_following(replica: Server) -> bool:
    return replica.client.info("replication").get("master_link_status") == "up"


def readyz(url: str) -> tuple[int, str]:
    code, response = request(url, "GET", "/readyz", None, {})
    return code, json.dumps(response)


def test_the_status_of_a_replica_has_counts_and_the_reason(own_server: Start, run: Run):
    master = own_server(repl_diskless_sync_delay="0")
    url = pipeline.ingest(run, Settings(redis_url=master.url))
    assert request(url, "POST", "/record", {"speed": 1}, {})[0] == 200
    replica = own_server(replicaof=f"127.0.0.1 {master.listen()}")
    wait_until(lambda: is_following(replica), "the replica to follow")
    process = tributary("status", "--redis-url", replica.url)
    assert process.end() == 1
    assert "accepted     1" in process.text
    assert "the server is a slave and read-only" in process.text


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "flask"])
def test_readyz_reports_that_no_replica_acknowledges(own_server: Start, run: Run, *, lane: bool):
    master = own_server(appendfsync="always", repl_diskless_sync_delay="0")
    replica = own_server(replicaof=f"127.0.0.1 {master.listen()}")
    wait_until(lambda: is_following(replica), "the replica to follow")
    wait_until(
        lambda: readiness.too_few_replicas(master.client.info("replication")) is None,
        "an acknowledgement",
    )
    settings = Settings(
        redis_url=master.url, durability="replicated", lane=lane, redis_timeout_ms=1000
    )
    url = pipeline.ingest(run, settings)
    assert readyz(url)[0] == 200
    with stopped(replica.process):
        wait_until(lambda: readyz(url)[0] == 503, "503")
        assert "no replica acknowledges" in readyz(url)[1]
    wait_until(lambda: readyz(url)[0] == 200, "200")


@pytest.mark.parametrize(
    ("config", "reason"),
    [({"min-replicas-to-write": "1"}, "NOREPLICAS"), ({"maxmemory": "1"}, "memory")],
)
def test_readyz_reports_why_writes_are_rejected(
    own_server: Start, config: dict[str, str], reason: str
):
    server = own_server()
    check = readiness.check(server.client, writes=True)
    assert check() is None
    for name, value in config.items():
        server.client.config_set(name, value)
    assert reason in str(check())
    assert readiness.check(server.client, writes=False)() is None


def test_the_status_of_a_server_that_cannot_save_has_counts_and_the_reason(
    own_server: Start, run: Run
):
    server = own_server()
    settings = Settings(redis_url=server.url)
    url = pipeline.ingest(run, settings)
    assert request(url, "POST", "/record", {"speed": 1}, {})[0] == 200
    # Like a full disk: the snapshot cannot be written.
    (Path(server.client.config_get("dir")["dir"]) / "dump.rdb").mkdir()
    server.client.config_set("save", "3600 1")
    server.client.bgsave()
    wait_until(
        lambda: server.client.info("persistence")["rdb_last_bgsave_status"] == "err", "the failure"
    )
    with pytest.raises(redis.ResponseError, match="MISCONF"):
        server.client.set("a", "b")
    found = status.read(server.client, settings)
    assert found.accepted == 1
    assert any("rdb_last_bgsave_status is err" in problem for problem in status.problems(found))
    assert readyz(url)[0] == 503
    assert "MISCONF" in readyz(url)[1]
    server.client.config_set("save", "")  # so that it stops without a snapshot


@pytest.mark.parametrize("text", [b"garbage\n", b"\xff\0" * 20, b"", b"file a seq 1 type z\n"])
def test_up_reports_a_damaged_manifest_at_once(tmp_path: Path, text: bytes):
    up = Deployment(tmp_path / "data")
    assert up.stop() == 0
    manifest = next((tmp_path / "data" / "appendonlydir").glob("*.manifest"))
    manifest.write_bytes(text)
    process = tributary("up", "--port", "0", "--data-dir", str(tmp_path / "data"))
    assert process.end(timeout_s=30) == 2
    assert "FATAL AOF MANIFEST FILE ERROR" in process.text
    assert "from a backup" in process.text
