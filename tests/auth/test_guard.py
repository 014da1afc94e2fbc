"""The guard: which requests it admits, when it requires a token, and what it caches."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import redis
from support.processes import Server
from support.waiting import wait_until

from tributary.auth import guard, tokens
from tributary.auth.guard import Guard, RequestHeaders
from tributary.auth.tokens import Token
from tributary.errors import Misconfigured, Refused, Unavailable
from tributary.settings import Settings
from tributary.store import redis_client

Change = Callable[..., Settings]


def create(client: redis.Redis, **changes: int | None) -> str:
    return tokens.create(client, Token("id", "", "*", ("record",), 0, **changes))


def bearer(secret: str) -> RequestHeaders:
    return RequestHeaders(f"Bearer {secret}")


def is_rejected(door: Guard, headers: RequestHeaders) -> bool:
    try:
        door.admit(headers)
    except Refused as error:
        return error.status == 401
    except Unavailable:
        return False
    return False


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("example.org", False), ("", False)],
)  # fmt: skip
def test_only_addresses_of_this_machine_are_loopback(host: str, *, is_loopback: bool):
    assert guard.is_loopback(host) is is_loopback


def test_a_reachable_address_needs_tokens_or_open(change: Change, client: redis.Redis):
    outside = change(host="0.0.0.0")
    with pytest.raises(Misconfigured, match=r"0\.0\.0\.0.*token create.*--open"):
        guard.check_exposure(outside, client)
    guard.check_exposure(change(host="0.0.0.0", open=True), client)
    guard.check_exposure(change(), client)
    create(client)
    guard.check_exposure(outside, client)


def test_the_thread_of_a_guard_ends_with_it(settings: Settings, client: redis.Redis):
    before = set(threading.enumerate())
    door = Guard(settings, client)
    (thread,) = set(threading.enumerate()) - before
    door = None  # noqa: F841 (the last reference)
    wait_until(lambda: not thread.is_alive(), "the thread to end")


def test_on_loopback_no_token_is_required_until_one_exists(settings: Settings, client: redis.Redis):
    door, headers = Guard(settings, client), RequestHeaders()
    assert door.admit(headers) is None
    secret = create(client)
    wait_until(lambda: is_rejected(door, headers), "the same request to be rejected", 5)
    token = door.admit(bearer(secret))
    assert token is not None
    assert token.id == "id"


def test_other_addresses_require_a_token_even_after_the_last_is_revoked(
    change: Change, client: redis.Redis
):
    secret = create(client)
    door, headers = Guard(change(host="0.0.0.0"), client), bearer(secret)
    assert door.admit(headers) is not None
    tokens.revoke(client, "id")
    wait_until(
        lambda: is_rejected(door, headers), "the token to be rejected", guard.REVOKED_WITHIN_S
    )
    assert is_rejected(door, RequestHeaders())


def test_open_requires_no_token(change: Change, client: redis.Redis):
    create(client)
    assert Guard(change(host="0.0.0.0", open=True), client).admit(RequestHeaders()) is None


def test_a_cached_token_is_checked_again_for_expiry(settings: Settings, client: redis.Redis):
    secret = create(client, expires_at_ms=1)
    door, headers = Guard(settings, client), bearer(secret)
    assert is_rejected(door, headers)
    assert is_rejected(door, headers)


def test_no_request_is_admitted_before_the_tokens_are_loaded(own_server: Callable[..., Server]):
    server = own_server()
    create(server.client)
    settings = Settings(redis_url=server.url, redis_timeout_ms=100)
    server.kill()
    door = Guard(settings, redis_client.connect(settings))
    with pytest.raises(Unavailable, match="tokens"):
        door.admit(RequestHeaders())
    server.start()
    wait_until(lambda: is_rejected(door, RequestHeaders()), "the tokens to be loaded")
