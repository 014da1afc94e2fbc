"""`tributary doctor` on real servers, healthy and misconfigured."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from support import pipeline
from support.account import post
from support.processes import ROOT, Process, Server, request, tributary
from support.sse import Ear
from support.waiting import wait_until

from tributary.operate import diagnostics
from tributary.operate.diagnostics import Finding
from tributary.settings import Settings
from tributary.store import acl, keys, redis_client

Run = Callable[..., Process]
Start = Callable[..., Server]
INFO: dict[str, Any] = {"redis_version": "7.4.11", "role": "master", "maxmemory": 1 << 30}


@pytest.fixture(params=["", "redis-server"], ids=["valkey", "redis"])
def start(request: pytest.FixtureRequest, own_server: Start) -> Start:
    if request.param and shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return lambda **config: own_server(binary=request.param, maxmemory="1gb", **config)


def run_doctor(url: str, *arguments: str, **environ: str) -> tuple[int, str]:
    process = tributary("doctor", "--redis-url", url, *arguments, environ=environ)
    return process.end(), process.text


def errors(text: str) -> list[str]:
    return [line.split(None, 1)[1] for line in text.splitlines() if line.startswith("error")]


def test_finds_no_error_on_a_healthy_server_and_does_not_change_it(start: Start):
    server = start()
    code, text = run_doctor(server.url, TRIBUTARY_SERIES_MAX="1000")
    assert code == 0, text
    assert errors(text) == []
    for subject in ("settings", "redis", "durability", "memory", "clock", "data", "permissions"):
        assert re.search(rf"^ok +{subject} ", text, re.MULTILINE), text
    assert "user default has all permissions of ingest" in text
    assert server.client.dbsize() == 0


def test_reports_each_error_with_its_remedy(start: Start):
    server = start(appendonly="no", maxmemory_policy="allkeys-lru")
    server.client.hset(keys.CONFIG, mapping={"partitions": 16, "format": 1})
    code, text = run_doctor(server.url, TRIBUTARY_DURABILITY="fsync", TRIBUTARY_PARTITIONS="8")
    found = errors(text)
    assert code == 1
    for expected, remedy in (
        ("appendonly of the server is no", "CONFIG SET appendonly yes"),
        ("maxmemory-policy of the server is allkeys-lru", "maxmemory-policy noeviction"),
        ("partitions is 16 in Redis, 8 here", "start with the settings in Redis"),
    ):
        (error,) = [error for error in found if expected in error]
        assert remedy in error
    assert len(found) == 3, text


def test_reports_a_server_that_does_not_reply():
    code, text = run_doctor("redis://:secret@127.0.0.1:1/0")
    assert code == 1
    assert "no reply from Redis" in text
    assert "secret" not in text


def test_reports_invalid_settings():
    code, text = run_doctor("redis://127.0.0.1:1/0", TRIBUTARY_PORT="x", TRIBUTARY_HEARTBEATS="1")
    assert code == 1
    assert "TRIBUTARY_PORT='x'" in text
    assert "did you mean" in text


@pytest.mark.parametrize(
    ("info", "grade", "text"),
    [
        ({}, "ok", "Redis 7.4.11"),
        ({"redis_version": "8.12.0"}, "ok", "Redis 8.12.0"),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, "ok", "Valkey 9.1.2"),
        ({"role": "slave"}, "error", "URL of the master"),
        ({"aof_last_write_status": "err"}, "error", "check its disk"),
        ({"aof_last_bgrewrite_status": "err"}, "warning", "aof_last_bgrewrite_status"),
        ({"rdb_last_bgsave_status": "err"}, "warning", "rdb_last_bgsave_status"),
        ({"maxmemory": 0}, "warning", "CONFIG SET maxmemory"),
    ],
)
def test_grades_the_state_of_a_server(info: dict[str, Any], grade: str, text: str):
    found = list(diagnostics.check_server(INFO | info, Settings(series_max=1000)))
    (finding,) = [f for f in found if text in f.text]
    assert finding.grade == grade
    if grade != "ok":
        assert [f for f in found if f.grade != "ok"] == [finding]


@pytest.mark.parametrize(
    ("offset_ms", "grade", "text"),
    [
        (0.4, "ok", "0 ms ahead of"),
        (-999.0, "ok", "999 ms behind"),
        (1_000.0, "warning", "1000 ms ahead of"),
        (-10_000.0, "error", "10000 ms behind"),
    ],
)
def test_grades_the_skew_of_the_clock(offset_ms: float, grade: str, text: str):
    finding = diagnostics.check_skew(offset_ms, Settings(stale_after_ms=10_000))
    assert (finding.grade, finding.subject) == (grade, "clock")
    assert text in finding.text


def user(server: Server, name: str, *rules: str) -> str:
    """Create a user of Redis with these rules; returns its URL."""
    server.client.execute_command("ACL", "SETUSER", name, "reset", "on", ">pw", *rules)
    return server.url.replace("unix://", f"unix://{name}:pw@")


def permissions(server: Server, name: str, role: str) -> Finding:
    """The finding on the permissions of a user, as an administrator sees it."""
    return diagnostics.check_permissions(server.client, role, name)


@pytest.mark.parametrize("role", acl.NEEDED)
def test_the_proposed_rules_grant_what_is_missing(start: Start, role: str):
    server = start()
    user(server, "u", "~tributary:*", "+ping")
    finding = permissions(server, "u", role)
    assert finding.grade == "error"
    proposed = re.search(r"ACL SETUSER u (.*)$", finding.text)
    assert proposed
    server.client.execute_command("ACL", "SETUSER", "u", *proposed[1].split())
    assert permissions(server, "u", role).grade == "ok"


@pytest.mark.parametrize(
    ("role", "revoked", "text"),
    [
        ("ingest", "-xadd", "xadd"),
        ("aggregator", "-xgroup|create", "xgroup|create"),
        ("api", "-zrangebylex", "zrangebylex"),
        ("operator", "-xlen", "xlen"),
    ],
)
def test_names_a_missing_permission(start: Start, role: str, revoked: str, text: str):
    server = start()
    user(server, "u", "~tributary:*", "~rq:*", "+@all", revoked)
    finding = permissions(server, "u", role)
    assert finding.grade == "error"
    assert text in finding.text
    assert finding.text.count("no permission") == 1


def test_names_keys_without_access(start: Start):
    server = start()
    user(server, "u", "~tributary:{*", "+@all")
    finding = permissions(server, "u", "aggregator")
    assert finding.grade == "error"
    assert keys.WORKERS in finding.text


def test_explains_how_to_check_a_user_without_acl_permissions(start: Start):
    server = start()
    url = user(server, "u", *acl.rules("aggregator"))
    code, text = run_doctor(url, "--role", "aggregator")
    assert code == 0, text
    assert "run doctor with the URL of an administrator" in text
    code, text = run_doctor(server.url, "--role", "aggregator", "--user", "u")
    assert code == 0
    assert "user u has all permissions of aggregator" in text


def test_every_role_works_with_exactly_the_listed_permissions(start: Start, run: Run):
    server = start()
    settings = {
        role: Settings(redis_url=user(server, role, *acl.rules(role)), heartbeat_ms=100)
        for role in acl.NEEDED
    }
    run("aggregator", environ=pipeline.environ(settings["aggregator"]))
    ingest = pipeline.ingest(run, settings["ingest"])
    api = run("api", "--port", "0", environ=pipeline.environ(settings["api"]))
    collect = str(api.wait_for(re.compile(r"at=(http://\S+)"))[1])
    body = {"device": "car-1", "speed": 5}
    recorded = request(ingest, "POST", "/record", body, {"Idempotency-Key": "one"})
    assert recorded == (200, {"success": True})
    recorded = request(ingest, "POST", "/record", body, {"Idempotency-Key": "one"})
    assert recorded == (200, {"success": True, "duplicate": True})

    def collected() -> bool:
        code, response = request(collect, "GET", "/collect?device=car-1", None, {})
        return code == 200 and response["current_speed"] == 5

    wait_until(collected, "the reading to be applied")
    for path in ("/api/v1/devices", "/api/v1/devices/car-1", "/api/v1/status", "/readyz"):
        assert request(collect, "GET", path, None, {})[0] == 200
    ear = Ear(collect, "?prefix=car-")
    ear.wait_for("car-1", current_speed=5.0)
    ear.close()
    assert request(ingest, "GET", "/readyz", None, {})[0] == 200
    for name in ("status", "top", "audit"):
        arguments = ("--once",) if name == "top" else ()
        process = run(name, *arguments, environ=pipeline.environ(settings["operator"]))
        assert process.end() == 0, process.text


def test_an_aggregator_with_the_listed_permissions_counts_lost_entries(start: Start, run: Run):
    """Recovery needs permissions that normal operation does not."""
    server = start()
    post(server.client, 0, 3)
    server.client.delete(keys.readings(0))
    url = user(server, "u", *acl.rules("aggregator"))
    run("aggregator", environ=pipeline.environ(Settings(redis_url=url, heartbeat_ms=100)))
    lost = lambda: server.client.hget(keys.meta(0), "lost") == b"3"  # noqa: E731
    wait_until(lost, "the loss to be counted")


def test_every_command_of_the_scripts_is_listed():
    known = {command[0] for role in acl.NEEDED.values() for command in role}
    for path in Path(ROOT / "tributary" / "store" / "lua").glob("*.lua"):
        used = set(re.findall(r"redis\.p?call\('(\w+)'", path.read_text()))
        used |= set(re.findall(r"each\([^,]+, '(\w+)'", path.read_text()))
        assert used <= known, f"{path.name}: {used - known}"


def test_changeable_settings_are_not_compared(client: redis.Redis):
    redis_client.prepare(client, Settings())
    stored: Any = client.hgetall(keys.CONFIG)
    assert redis_client.mismatches(Settings(port=1, heartbeat_ms=50), stored) == []
    assert redis_client.mismatches(Settings(partitions=3), stored) == [
        "partitions is 4 in Redis, 3 here"
    ]
