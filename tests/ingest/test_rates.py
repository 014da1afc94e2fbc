"""Rates over HTTP: 429 with Retry-After, per device and per token, with and without the lane."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from support.processes import Reply, Server
from support.waiting import wait_until
from support.webs import Web

from tributary.auth import tokens
from tributary.auth.tokens import Token
from tributary.settings import Settings

Accepted = Callable[[], int]


def is_too_many(reply: Reply) -> bool:
    if reply.status != 429:
        return False
    return reply.code == "too_many_requests" and int(reply.headers["retry-after"]) >= 1


@pytest.fixture(scope="module", params=[True, False], ids=["lane", "flask"])
def limited(start_web: Callable[..., Web], request: pytest.FixtureRequest) -> Web:
    """A rate that recovers nothing during a test: one burst, and no more."""
    return start_web(lane=request.param, rate_per_device=0.001)


def new_device() -> str:
    return f"car-{secrets.token_hex(4)}"


def test_a_device_over_its_rate_gets_retry_after(limited: Web, accepted: Accepted):
    before, device = accepted(), new_device()
    assert limited.record({"device": device, "a": 1}).status == 200
    for _ in range(3):
        assert is_too_many(limited.record({"device": device, "a": 1}))
    assert accepted() == before + 1


def test_does_not_affect_another_device(limited: Web):
    first, second = new_device(), new_device()
    assert limited.record({"device": first, "a": 1}).status == 200
    assert is_too_many(limited.record({"device": first, "a": 1}))
    assert limited.record({"device": second, "a": 1}).status == 200


def test_one_device_over_its_rate_rejects_the_whole_batch(limited: Web, accepted: Accepted):
    limited_device, fresh = new_device(), new_device()
    assert limited.record({"device": limited_device, "a": 1}).status == 200
    before = accepted()
    both = [{"device": fresh, "a": 1}, {"device": limited_device, "a": 1}]
    assert is_too_many(limited.record(both))
    assert accepted() == before
    assert limited.record({"device": fresh, "a": 1}).status == 200  # the batch used up nothing


def test_a_rejected_request_uses_up_nothing(limited: Web):
    device = new_device()
    for _ in range(3):
        assert limited.record({"device": device, "a": None}).status == 422
    assert limited.record({"device": device, "a": 1}).status == 200


def test_a_rate_recovers(start_web: Callable[..., Web]):
    web, device = start_web(rate_per_device=2.0), new_device()
    replies = [web.record({"device": device, "a": 1}) for _ in range(50)]
    assert any(is_too_many(reply) for reply in replies)
    wait_until(lambda: web.record({"device": device, "a": 1}).status == 200, "room for one more")


@pytest.fixture(params=[True, False], ids=["lane", "flask"])
def by_token(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Web, str, str]]:
    """A process that limits tokens, and two tokens."""
    server = Server(tmp_path / "redis")
    secret, other = (
        tokens.create(server.client, Token(name, name, "*", ("record",), 0)) for name in "ab"
    )
    settings = Settings(redis_url=server.url, rate_per_token=0.001)
    web = Web(msgspec.structs.replace(settings, lane=request.param))
    yield web, secret, other
    web.close()
    server.close()


def test_limits_a_token_across_devices(by_token: tuple[Web, str, str]):
    web, secret, other = by_token
    assert web.record({"device": new_device(), "a": 1}, secret).status == 200
    assert is_too_many(web.record({"device": new_device(), "a": 1}, secret))
    assert web.record({"device": new_device(), "a": 1}, other).status == 200
