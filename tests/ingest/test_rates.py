"""Rates over HTTP: 429 with Retry-After, per device and per token, with and without the lane."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from support.processes import Server
from support.waiting import wait_until
from support.webs import Reply, Web

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
    """So slow a rate that nothing is regained while a test runs: a burst, and no more."""
    return start_web(lane=request.param, rate_per_device=0.001)


def new_device() -> str:
    return f"car-{secrets.token_hex(4)}"


def test_a_device_over_its_rate_is_told_when_to_come_back(limited: Web, accepted: Accepted):
    before, device = accepted(), new_device()
    assert limited.record({"device": device, "a": 1}).status == 200
    for _ in range(3):
        assert is_too_many(limited.record({"device": device, "a": 1}))
    assert accepted() == before + 1


def test_another_device_is_not_concerned(limited: Web):
    first, second = new_device(), new_device()
    assert limited.record({"device": first, "a": 1}).status == 200
    assert is_too_many(limited.record({"device": first, "a": 1}))
    assert limited.record({"device": second, "a": 1}).status == 200


def test_one_device_over_its_rate_refuses_the_whole_batch(limited: Web, accepted: Accepted):
    tired, fresh = new_device(), new_device()
    assert limited.record({"device": tired, "a": 1}).status == 200
    before = accepted()
    both = [{"device": fresh, "a": 1}, {"device": tired, "a": 1}]
    assert is_too_many(limited.record(both))
    assert accepted() == before
    assert limited.record({"device": fresh, "a": 1}).status == 200  # nothing of it was used up


def test_a_refused_request_uses_nothing_up(limited: Web):
    device = new_device()
    for _ in range(3):
        assert limited.record({"device": device, "a": None}).status == 422
    assert limited.record({"device": device, "a": 1}).status == 200


def test_a_rate_comes_back_with_time(start_web: Callable[..., Web]):
    web, device = start_web(rate_per_device=2.0), new_device()
    replies = [web.record({"device": device, "a": 1}) for _ in range(50)]
    assert any(is_too_many(reply) for reply in replies)
    wait_until(lambda: web.record({"device": device, "a": 1}).status == 200, "room for one more")


@pytest.fixture(params=[True, False], ids=["lane", "flask"])
def by_token(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Web, str, str]]:
    """A process that limits tokens, and two of them."""
    server = Server(tmp_path / "redis")
    secret, other = (
        tokens.create(server.client, Token(name, name, "*", ("record",), 0)) for name in "ab"
    )
    settings = Settings(redis_url=server.url, rate_per_token=0.001)
    web = Web(msgspec.structs.replace(settings, lane=request.param))
    yield web, secret, other
    web.close()
    server.close()


def test_a_token_over_its_rate_is_refused_whatever_the_device(by_token: tuple[Web, str, str]):
    web, secret, other = by_token
    assert web.record({"device": new_device(), "a": 1}, secret).status == 200
    assert is_too_many(web.record({"device": new_device(), "a": 1}, secret))
    assert web.record({"device": new_device(), "a": 1}, other).status == 200
