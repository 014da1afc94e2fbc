"""`tributary status`: its output, and when it exits 1."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import redis
from support import pipeline
from support.account import post
from support.processes import Process, Server, tributary
from support.waiting import wait_until

from tributary.operate import status
from tributary.operate.status import Aggregator, Status
from tributary.settings import Settings
from tributary.store import keys

Run = Callable[..., Process]


@pytest.fixture
def run_status(server: Server) -> Callable[..., tuple[int, str]]:
    """Run `tributary status`: its exit status and output."""

    def call(*arguments: str, **environ: str) -> tuple[int, str]:
        process = tributary("status", "--redis-url", server.url, *arguments, environ=environ)
        return process.end(), process.text

    return call


@pytest.fixture
def aggregator(run: Run, client: redis.Redis, settings: Settings) -> Process:
    process = run("aggregator", environ=pipeline.environ(settings))
    wait_until(lambda: status.aggregators_alive(client, settings), "the aggregator to be alive")
    return process


def healthy(client: redis.Redis, settings: Settings) -> Status:
    """A status without problems, of an aggregator that does not run."""
    aggregators = [Aggregator("w", [0], 1)]
    return msgspec.structs.replace(status.read(client, settings), aggregators=aggregators)


def test_a_healthy_deployment_exits_0(
    run_status: Callable[..., tuple[int, str]], aggregator: Process
):
    code, text = run_status(TRIBUTARY_HEARTBEAT_MS="60000")
    assert code == 0, text
    assert "lost         0" in text


def test_exits_1_without_an_aggregator(run_status: Callable[..., tuple[int, str]]):
    code, text = run_status()
    assert code == 1
    assert "no aggregator is alive" in text
    assert "tributary aggregator" in text


def test_json_has_the_fields_of_the_contract(
    run_status: Callable[..., tuple[int, str]], client: redis.Redis
):
    post(client, 3, 1)
    code, text = run_status("--json")
    found = json.loads(text.splitlines()[0])
    assert code == 1
    assert found["faults"]
    for name in ("accepted", "applied", "late", "dead", "lost", "pending", "lag_entries"):
        assert found[name] == (1 if name in ("accepted", "pending", "lag_entries") else 0), name
    assert found["lag_s"] >= 0
    assert found["devices"] == found["series"] == 0
    assert found["aggregators"] == []
    assert found["server"]["version"]
    assert [p["partition"] for p in found["partitions"]] == list(range(4))


def test_covers_the_partitions_of_the_stored_data(
    run_status: Callable[..., tuple[int, str]], client: redis.Redis
):
    client.hset(keys.CONFIG, "partitions", 3)
    post(client, 2, 1)
    found = json.loads(run_status("--json", TRIBUTARY_PARTITIONS="2")[1].splitlines()[0])
    assert len(found["partitions"]) == 3
    assert found["accepted"] == 1


def test_lists_missing_readings_and_lagging_partitions(
    run_status: Callable[..., tuple[int, str]], client: redis.Redis
):
    post(client, 2, 1)
    client.delete(keys.readings(2))
    _, text = run_status()
    assert "pending      1, 1 of them no longer in the stream" in text
    assert "partition 2   1 pending" in text


@pytest.mark.parametrize(
    ("changes", "text", "remedy"),
    [
        ({"role": "slave"}, "is a slave", "URL of the master"),
        ({"used_memory_bytes": 95, "max_memory_bytes": 100}, "95 of 100 bytes", "raise maxmemory"),
        ({"aof_last_write_status": "err"}, "append-only file", "check its disk"),
    ],
)
def test_reports_a_problem_of_the_server_with_its_remedy(
    client: redis.Redis, settings: Settings, changes: dict[str, Any], text: str, remedy: str
):
    well = healthy(client, settings)
    assert status.problems(well) == []
    server = msgspec.structs.replace(well.server, **changes)
    (problem,) = status.problems(msgspec.structs.replace(well, server=server))
    assert text in problem
    assert remedy in problem


def test_reports_aggregators_that_do_not_keep_up(client: redis.Redis, settings: Settings):
    lagging = msgspec.structs.replace(healthy(client, settings), lag_s=61.0)
    (problem,) = status.problems(lagging)
    assert "pending for 61 s" in problem
    assert "start more" in problem


def test_reports_a_backlog_that_is_nearly_full(
    client: redis.Redis, change: Callable[..., Settings]
):
    settings = change(partitions=2, stream_max_entries=100)
    post(client, 1, *[1] * 89)
    assert status.problems(healthy(client, settings)) == []
    post(client, 1, 1)
    (problem,) = status.problems(healthy(client, settings))
    assert "partition 1" in problem
