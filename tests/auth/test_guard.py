"""The guard: whom it lets pass, when it demands a token, and what it remembers of a header."""

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


def made(client: redis.Redis, **changes: int | None) -> str:
    return tokens.create(client, Token("id", "", "*", ("record",), 0, **changes))


def bearer(secret: str) -> RequestHeaders:
    return RequestHeaders(f"Bearer {secret}")


def is_refused(door: Guard, headers: RequestHeaders) -> bool:
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
def test_only_this_machine_is_loopback(host: str, *, is_loopback: bool):
    assert guard.is_loopback(host) is is_loopback


def test_an_open_address_needs_tokens_or_the_operators_word(change: Change, client: redis.Redis):
    outside = change(host="0.0.0.0")
    with pytest.raises(Misconfigured, match=r"0\.0\.0\.0.*token create.*--open"):
        guard.check_exposure(outside, client)
    guard.check_exposure(change(host="0.0.0.0", open=True), client)
    guard.check_exposure(change(), client)
    made(client)
    guard.check_exposure(outside, client)


def test_its_thread_ends_with_it(settings: Settings, client: redis.Redis):
    before = set(threading.enumerate())
    door = Guard(settings, client)
    (thread,) = set(threading.enumerate()) - before
    door = None  # noqa: F841 (the last reference)
    wait_until(lambda: not thread.is_alive(), "the thread to end")


def test_on_loopback_everybody_passes_until_there_is_a_token(
    settings: Settings, client: redis.Redis
):
    door, headers = Guard(settings, client), RequestHeaders()
    assert door.admit(headers) is None
    secret = made(client)
    wait_until(lambda: is_refused(door, headers), "the same request to be refused", 5)
    token = door.admit(bearer(secret))
    assert token is not None
    assert token.id == "id"


def test_elsewhere_a_token_is_demanded_even_when_the_last_is_revoked(
    change: Change, client: redis.Redis
):
    secret = made(client)
    door, headers = Guard(change(host="0.0.0.0"), client), bearer(secret)
    assert door.admit(headers) is not None
    tokens.revoke(client, "id")
    wait_until(lambda: is_refused(door, headers), "the token to be refused", 5)
    assert is_refused(door, RequestHeaders())


def test_with_open_nobody_is_asked(change: Change, client: redis.Redis):
    made(client)
    assert Guard(change(host="0.0.0.0", open=True), client).admit(RequestHeaders()) is None


def test_a_remembered_token_is_judged_again_when_it_may_have_expired(
    settings: Settings, client: redis.Redis
):
    secret = made(client, expires_at_ms=1)
    door, headers = Guard(settings, client), bearer(secret)
    assert is_refused(door, headers)
    assert is_refused(door, headers)


def test_nobody_passes_before_the_tokens_are_known(own_server: Callable[..., Server]):
    server = own_server()
    made(server.client)
    settings = Settings(redis_url=server.url, redis_timeout_ms=100)
    server.kill()
    door = Guard(settings, redis_client.connect(settings))
    with pytest.raises(Unavailable, match="tokens"):
        door.admit(RequestHeaders())
    server.start()
    wait_until(lambda: is_refused(door, RequestHeaders()), "the tokens to be known")
