"""Every scope and pattern at every endpoint, with the lane and without it."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Iterator

import msgspec
import pytest
import redis
from support.pipeline import environ
from support.processes import Server, tributary
from support.waiting import wait_until
from support.webs import Web

from tributary.auth import guard, tokens
from tributary.auth.tokens import SCOPES, Scope, Token
from tributary.settings import Settings

DEVICE = "car-7"
PATTERNS = {"*": True, "car-*": True, "car-7": True, "van-*": False}
SCOPE_SETS = [set_ for n in (1, 2, 3) for set_ in itertools.combinations(SCOPES, n)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    own = Server(tmp_path_factory.mktemp("matrix"))
    yield own
    own.close()


@pytest.fixture(scope="module")
def secret_of(server: Server) -> dict[tuple[str, tuple[Scope, ...]], str]:
    """The secret of a token of each kind."""
    kinds = itertools.product(PATTERNS, SCOPE_SETS)
    return {kind: create(server.client, *kind) for kind in kinds}


@pytest.fixture(scope="module", params=[True, False], ids=["lane", "flask"])
def web(
    server: Server,
    secret_of: dict[tuple[str, tuple[Scope, ...]], str],
    request: pytest.FixtureRequest,
) -> Iterator[Web]:
    """A process with tokens, and a reading of the device."""
    settings = Settings(redis_url=server.url, heartbeat_ms=100)
    running = Web(msgspec.structs.replace(settings, lane=request.param))
    secret = secret_of["*", SCOPES]
    aggregator = tributary("aggregator", environ=environ(settings))
    wait_until(lambda: running.record({"device": DEVICE, "a": 1}, secret).status == 200, "a 200")
    path = f"/collect?device={DEVICE}"
    wait_until(lambda: running.get(path, secret).status == 200, "the reading")
    wait_until(lambda: running.get("/collect").status == 401, "tokens to be required", 5)
    aggregator.kill()
    yield running
    running.close()


def create(
    client: redis.Redis,
    pattern: str,
    scopes: tuple[Scope, ...],
    expires_at_ms: int | None = None,
    name: str = "",
) -> str:
    token = Token(name or secrets.token_hex(4), "", pattern, scopes, 0, expires_at_ms)
    return tokens.create(client, token)


def statuses(web: Web, secret: str) -> dict[str, int]:
    """The status of each endpoint with a token."""
    return {
        "record": web.record({"device": DEVICE, "a": 1}, secret).status,
        "batch": web.record(
            [{"device": DEVICE, "a": 1}, {"device": DEVICE, "a": 2}], secret
        ).status,
        "collect": web.get(f"/collect?device={DEVICE}", secret).status,
        "collect, posted": web.ask("POST", f"/collect?device={DEVICE}", b"", secret).status,
        "device": web.get(f"/api/v1/devices/{DEVICE}", secret).status,
        "metrics": web.get("/metrics", secret).status,
        "healthz": web.get("/healthz", secret).status,
        "readyz": web.get("/readyz", secret).status,
    }


@pytest.mark.parametrize("scopes", SCOPE_SETS, ids="+".join)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_token_allows_its_scopes_and_devices(
    web: Web,
    secret_of: dict[tuple[str, tuple[Scope, ...]], str],
    pattern: str,
    scopes: tuple[Scope, ...],
):
    may_record = "record" in scopes and PATTERNS[pattern]
    may_collect = "collect" in scopes and PATTERNS[pattern]
    assert statuses(web, secret_of[pattern, scopes]) == {
        "record": 200 if may_record else 403,
        "batch": 200 if may_record else 403,
        "collect": 200 if may_collect else 403,
        "collect, posted": 200 if may_collect else 403,
        "device": 200 if may_collect else 403,
        "metrics": 200 if "operate" in scopes else 403,
        "healthz": 200,
        "readyz": 200,
    }


def test_only_health_checks_work_without_a_valid_token(web: Web, server: Server):
    late = create(server.client, "*", SCOPES, expires_at_ms=1)
    for secret in ("", "wrong", late):
        found = statuses(web, secret)
        assert {found.pop("healthz"), found.pop("readyz")} == {200}
        assert set(found.values()) == {401}
        reply = web.get("/collect", secret)
        assert reply.headers["www-authenticate"] == "Bearer"
        assert reply.code == "unauthorized"


def test_rejects_a_batch_with_one_device_that_is_not_covered(web: Web, server: Server):
    secret = create(server.client, "car-*", ("record",))
    wait_until(lambda: web.record({"device": DEVICE, "a": 1}, secret).status == 200, "a 200", 5)
    reply = web.record([{"device": DEVICE, "a": 1}, {"device": "van-1", "a": 1}], secret)
    assert (reply.status, reply.code) == (403, "wrong_device")
    assert "'van-1'" in reply.json["error"]["message"]


def test_a_token_for_some_devices_lists_no_others(web: Web, server: Server):
    secret = create(server.client, "van-*", ("collect",))
    wait_until(lambda: web.get("/collect?device=van-1", secret).status == 404, "a 404", 5)
    listed = web.get("/api/v1/devices", secret)
    assert listed.status == 200
    assert [entry["device"] for entry in listed.json["devices"]] == []


def test_a_revoked_token_is_rejected_in_time(web: Web, server: Server):
    name = secrets.token_hex(4)
    secret = create(server.client, "*", SCOPES, name=name)
    wait_until(lambda: web.get("/collect", secret).status == 200, "the token to be loaded", 5)
    assert tokens.revoke(server.client, name)
    wait_until(
        lambda: web.get("/collect", secret).status == 401,
        "the token to be rejected",
        guard.REVOKED_WITHIN_S,
    )
    assert web.record({"a": 1}, secret).status == 401


def test_a_token_expires_on_time(web: Web, server: Server):
    soon_ms = int(time.time() * 1000) + 3000
    secret = create(server.client, "*", SCOPES, expires_at_ms=soon_ms)
    wait_until(lambda: web.get("/collect", secret).status == 200, "the token to be loaded", 3)
    wait_until(
        lambda: (
            web.get("/collect", secret).code == "unauthorized"
            if time.time() * 1000 > soon_ms
            else False
        ),
        "its end",
    )
    assert web.record({"a": 1}, secret).status == 401
