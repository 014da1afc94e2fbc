"""`tributary status`: what it says, and when it exits 1."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis
from support import pipeline
from support.account import post
from support.processes import Process, Server, tributary
from support.waiting import wait_until

from tributary.operate import status
from tributary.settings import Settings
from tributary.store import keys

Run = Callable[..., Process]


@pytest.fixture
def say(server: Server) -> Callable[..., tuple[int, str]]:
    """Run `tributary status`; its exit status and all it printed."""

    def ask(*arguments: str, **environ: str) -> tuple[int, str]:
        process = tributary("status", "--redis-url", server.url, *arguments, environ=environ)
        return process.end(), process.text

    return ask


@pytest.fixture
def aggregator(run: Run, client: redis.Redis, settings: Settings) -> Process:
    process = run("aggregator", environ=pipeline.environ(settings))
    wait_until(lambda: status.aggregators_alive(client, settings), "the aggregator to be alive")
    return process


def found(client: redis.Redis, settings: Settings, **changes: Any) -> dict[str, Any]:
    """A status that is healthy but for these changes."""
    alive = {"id": "w", "partitions": [0], "heartbeat_age_ms": 1}
    return {**status.read(client, settings), "aggregators": [alive], **changes}


def test_a_healthy_deployment_exits_0(say: Callable[..., tuple[int, str]], aggregator: Process):
    code, text = say(TRIBUTARY_HEARTBEAT_MS="60000")
    assert code == 0, text
    assert "lost         0" in text


def test_without_an_aggregator_it_exits_1_and_says_so(say: Callable[..., tuple[int, str]]):
    code, text = say()
    assert code == 1
    assert "no aggregator is alive" in text
    assert "tributary aggregator" in text


def test_json_has_the_shape_of_the_contract(
    say: Callable[..., tuple[int, str]], client: redis.Redis
):
    post(client, 3, 1)
    code, text = say("--json")
    told = json.loads(text.splitlines()[0])
    assert code == 1
    assert told["faults"]
    for name in ("accepted", "applied", "late", "dead", "lost", "pending", "lag_entries"):
        assert told[name] == (1 if name in ("accepted", "pending", "lag_entries") else 0), name
    assert told["lag_s"] >= 0
    assert told["devices"] == told["series"] == 0
    assert told["aggregators"] == []
    assert told["server"]["version"]
    assert [p["partition"] for p in told["partitions"]] == list(range(16))


def test_it_looks_at_as_many_partitions_as_the_data_has(
    say: Callable[..., tuple[int, str]], client: redis.Redis
):
    client.hset(keys.CONFIG, "partitions", 3)
    post(client, 2, 1)
    told = json.loads(say("--json", TRIBUTARY_PARTITIONS="2")[1].splitlines()[0])
    assert len(told["partitions"]) == 3
    assert told["accepted"] == 1


def test_missing_readings_and_the_partitions_behind_are_named(
    say: Callable[..., tuple[int, str]], client: redis.Redis
):
    post(client, 5, 1)
    client.delete(keys.readings(5))
    _, text = say()
    assert "pending      1, 1 of them no longer in the stream" in text
    assert "partition 5   1 pending" in text


def test_each_reason_is_told_with_its_remedy(client: redis.Redis, settings: Settings):
    healthy = found(client, settings)
    assert status.faults(healthy) == []
    server = healthy["server"]
    reasons = {
        "lag_s": (61.0, "waits for 61 s", "start more"),
        "server": ({**server, "role": "slave"}, "is a slave", "URL of the master"),
    }
    for name, (value, said, remedy) in reasons.items():
        (fault,) = status.faults(found(client, settings, **{name: value}))
        assert said in fault
        assert remedy in fault
    full = {**server, "used_memory_bytes": 95, "max_memory_bytes": 100}
    (fault,) = status.faults(found(client, settings, server=full))
    assert "95 of 100 bytes" in fault
    broken = {**server, "aof_last_write_status": "err"}
    (fault,) = status.faults(found(client, settings, server=broken))
    assert "append-only file" in fault


def test_a_backlog_that_is_nearly_full_is_a_reason(
    client: redis.Redis, change: Callable[..., Settings]
):
    settings = change(partitions=2, stream_max_entries=100)
    post(client, 1, *[1] * 89)
    assert status.faults(found(client, settings)) == []
    post(client, 1, 1)
    (fault,) = status.faults(found(client, settings))
    assert "partition 1" in fault
