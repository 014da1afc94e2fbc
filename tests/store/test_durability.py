"""Which servers satisfy a durability level."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from typing import Any

import pytest
import redis
from support.processes import Server
from support.waiting import wait_until

from tributary.errors import Misconfigured
from tributary.store import durability

INFO: dict[str, Any] = {"redis_version": "7.0.15", "role": "master", "connected_slaves": 0}
GOOD = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "maxmemory-policy": "noeviction",
}
REPLICA = {"ip": "10.0.0.2", "port": 6379, "state": "online", "offset": 1, "lag": 0}
REPLICATED = {"connected_slaves": 1, "slave0": REPLICA}
EVERYSEC = {"appendfsync": "everysec"}
NEVER = {"appendfsync": "no"}
OFF = {"appendonly": "no"}


@pytest.mark.parametrize(
    ("level", "config", "info"),
    [
        ("memory", {}, {}),
        ("memory", OFF | NEVER, {}),
        ("memory", OFF, {"role": "slave"}),  # readiness checks whether it accepts writes
        ("memory", {"no-appendfsync-on-rewrite": "yes"}, {}),
        ("aof", EVERYSEC, {}),
        ("aof", {}, {}),
        ("fsync", {}, {}),
        ("replicated", {}, REPLICATED),
        ("replicated", {}, {"connected_slaves": 2, "slave0": {"state": "x"}, "slave1": REPLICA}),
        ("fsync", {}, {"redis_version": "7.2.4", "valkey_version": "9.1.2"}),
        ("fsync", {}, {"redis_version": "10.0.0"}),
    ],
)
def test_a_server_that_satisfies_the_level_has_no_violations(level: str, config: dict, info: dict):
    assert durability.violations(level, GOOD | config, INFO | info) == []


@pytest.mark.parametrize(
    ("level", "config", "info", "said", "remedy"),
    [
        ("aof", OFF, {}, "appendonly of the server is no", "CONFIG SET appendonly yes"),
        ("fsync", OFF | EVERYSEC, {}, "appendonly of the server is no", "durability=memory"),
        ("aof", NEVER, {}, "appendfsync of the server is no", "CONFIG SET appendfsync everysec"),
        ("aof", NEVER, {}, "two seconds at most", "durability=memory"),
        ("fsync", EVERYSEC, {}, "is everysec, but durability=fsync", "durability=aof"),
        ("fsync", NEVER, {}, "appendfsync of the server is no", "durability=memory"),
        ("replicated", EVERYSEC, REPLICATED, "is everysec", "CONFIG SET appendfsync always"),
        ("replicated", {}, {}, "online: 0 of none", "replicaof"),
        (
            "replicated",
            {},
            {"connected_slaves": 1, "slave0": REPLICA | {"state": "wait_bgsave"}},
            "online: 0 of 1 (wait_bgsave)",
            "durability=fsync",
        ),
        ("replicated", {}, {"role": "slave"}, "role of the server is slave", "URL of the master"),
        (
            "aof",
            {"no-appendfsync-on-rewrite": "yes"},
            {},
            "no-appendfsync-on-rewrite of the server is yes",
            "CONFIG SET no-appendfsync-on-rewrite no",
        ),
        (
            "memory",
            {"maxmemory-policy": "allkeys-lru"},
            {},
            "maxmemory-policy of the server is allkeys-lru",
            "CONFIG SET maxmemory-policy noeviction",
        ),
        ("memory", {}, {"redis_version": "6.2.14"}, "is 6.2.14", "Redis 7.0 or later"),
        ("memory", {}, {"redis_version": "odd"}, "is odd", "Valkey 7.2 or later"),
    ],
)
def test_a_violation_names_the_setting_its_value_and_the_remedy(
    level: str, config: dict, info: dict, said: str, remedy: str
):
    (violation,) = durability.violations(level, GOOD | config, INFO | info)
    assert said in violation
    assert remedy in violation


def test_reports_all_violations_at_once():
    bad = GOOD | EVERYSEC | {"maxmemory-policy": "volatile-ttl"}
    found = durability.violations("replicated", bad, INFO | {"redis_version": "6.0.1"})
    assert len(found) == 4


def test_an_unknown_level_is_an_error_that_lists_the_levels():
    with pytest.raises(Misconfigured, match=r"durability='disk': use one of memory, aof"):
        durability.violations("disk", GOOD, INFO)


def test_uses_info_for_settings_that_the_server_does_not_report():
    info = INFO | {"aof_enabled": 1, "maxmemory_policy": "noeviction"}
    assert durability.violations("memory", {}, info) == []
    (violation,) = durability.violations("aof", {}, info)
    assert "appendfsync of the server is not reported" in violation
    (violation,) = durability.violations("aof", {}, info | {"aof_enabled": 0})
    assert "appendonly of the server is no" in violation
    assert len(durability.violations("aof", {}, INFO)) == 2


@pytest.fixture(params=["", "redis-server"], ids=["valkey", "redis"])
def start(
    request: pytest.FixtureRequest, own_server: Callable[..., Server]
) -> Callable[..., Server]:
    if request.param and shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return lambda **config: own_server(binary=request.param, **config)


def judged(client: redis.Redis, level: str) -> list[str]:
    return durability.violations(level, *durability.facts(client))


def test_checks_real_servers(start: Callable[..., Server]):
    client = start().client  # as `tributary up` starts it: appendfsync everysec
    assert judged(client, "memory") == judged(client, "aof") == []
    assert [violation.split(" of ")[0] for violation in judged(client, "fsync")] == ["appendfsync"]
    client.config_set("appendfsync", "always")
    assert judged(client, "fsync") == []
    client.config_set("maxmemory-policy", "allkeys-lfu")
    assert len(judged(client, "memory")) == 1


def test_checks_a_server_that_denies_config_get_by_info(start: Callable[..., Server]):
    server = start()
    server.client.execute_command("ACL", "SETUSER", "default", "-config")
    assert judged(server.client, "memory") == []
    (violation,) = judged(server.client, "aof")
    assert "+config|get" in violation


def test_checks_the_replicas_of_a_master(start: Callable[..., Server]):
    master = start(appendfsync="always", port="0", repl_diskless_sync_delay="0")
    assert "online: 0 of none" in judged(master.client, "replicated")[0]
    master.client.config_set("port", str(port := _free_port()))
    replica = start(replicaof=f"127.0.0.1 {port}")
    wait_until(lambda: judged(master.client, "replicated") == [], "an online replica")
    (violation,) = [f for f in judged(replica.client, "replicated") if "role" in f]
    assert "slave" in violation
    replica.kill()  # a server may not stop in the middle of a synchronization


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
