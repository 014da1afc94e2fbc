"""A permission revoked in Redis causes 503 with its reason, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.processes import Process, Server
from support.waiting import wait_until
from support.webs import Web

from tributary.settings import Settings
from tributary.store import keys

Run = Callable[..., Process]
RECORD = (("POST", "/record", {"a": 1}),)
READ = tuple(
    ("GET", path, None)
    for path in ("/collect", "/collect?device=car-1", "/api/v1/devices", "/api/v1/devices/car-1")
)


@pytest.fixture
def server(own_server: Callable[..., Server]) -> Server:
    return own_server()


def grant(server: Server, *rules: str) -> str:
    """Change the permissions of a Redis user; return the URL with its login."""
    server.client.execute_command("ACL", "SETUSER", "app", "on", ">pw", *rules)
    return server.url.replace("unix://", "unix://app:pw@")


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "flask"])
def test_responds_with_503_if_a_permission_is_revoked(server: Server, *, lane: bool):
    web = Web(Settings(redis_url=grant(server, "~*", "&*", "+@all"), lane=lane))
    assert web.record({"a": 1}).status == 200
    meta = keys.meta(keys.partition_of("default", web.settings.partitions))
    before = server.client.hgetall(meta)
    for command, requests in (("xadd", RECORD), ("evalsha", RECORD), ("hget", READ[:2]),
                              ("zrangebylex", READ[2:3])):  # fmt: skip
        grant(server, f"-{command}")
        for method, path, body in requests:
            reply = web.ask(method, path, body)
            assert (reply.status, reply.code) == (503, "unavailable"), (command, path)
            assert f"'{command}'" in reply.json["error"]["message"]
            assert reply.headers["retry-after"] == "1"
        ready = web.get("/readyz")
        assert ready.status == 503
        assert f"'{command}'" in ready.json["reasons"][0]
        grant(server, f"+{command}")
        wait_until(lambda: web.get("/readyz").status == 200, "the role to be ready again")
    assert server.client.hgetall(meta) == before  # no number without its entry
    assert web.record({"a": 1}).status == 200
    web.close()


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "flask"])
def test_logs_a_missing_permission_once_per_outage(server: Server, *, lane: bool):
    web = Web(Settings(redis_url=grant(server, "~*", "&*", "+@all"), lane=lane))
    for _ in range(2):
        grant(server, "-xadd")
        for _ in range(20):
            assert web.record({"a": 1}).status == 503
        grant(server, "+xadd")
        assert web.get("/readyz").status == 200
    web.process.stop()
    began = [line for line in web.process.text.splitlines() if "redis (permissions)" in line]
    assert sum("outage began" in line for line in began) == 2
    assert sum("outage ended" in line for line in began) == 2


@pytest.mark.parametrize("role", ["ingest", "api"])
def test_a_role_that_lacks_a_permission_fails_at_start(server: Server, run: Run, role: str):
    url = grant(server, "~*", "&*", "+@all", "-hgetall")
    process = run(role, "--port", "0", "--redis-url", url)
    assert process.end() == 2, process.text
    assert "'hgetall'" in process.text
