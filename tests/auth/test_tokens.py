"""Tokens: patterns, scopes, Authorization headers, and what Redis stores."""

from __future__ import annotations

import base64
import hashlib

import pytest
import redis

from tributary.auth import tokens
from tributary.auth.tokens import Scope, Table, Token
from tributary.errors import Misconfigured, Refused
from tributary.store import keys

NOW_MS = 1_800_000_000_000


def token(device: str = "*", *scopes: Scope, expires_at_ms: int | None = None) -> Token:
    return Token("id", "name", device, scopes or ("record",), NOW_MS, expires_at_ms)


@pytest.mark.parametrize(
    ("pattern", "device", "is_covered"),
    [
        ("*", "anything/at:all", True),
        ("car-7", "car-7", True),
        ("car-7", "car-77", False),
        ("car-7", "xcar-7", False),
        ("car-*", "car-", True),
        ("car-*", "car-7/door", True),
        ("car-*", "car", False),
        ("*-7", "car-7", True),
        ("a*b*c", "aXbYc", True),
        ("a*b*c", "acb", False),
        ("a.b", "axb", False),  # a dot is a dot
        ("car-*", "Car-1", False),
    ],
)
def test_a_pattern_covers_devices(pattern: str, device: str, *, is_covered: bool):
    held = token(pattern)
    assert held.covers(device) is is_covered
    assert held.covers(device) is is_covered  # cached


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("car-7", "car-7"),
        ("garage é 車", "garage é 車"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("a\nb\r", r"a\nb\r"),
        ("\x9b31m", r"\x9b31m"),
        ("a\u202eb", r"a\u202eb"),
        ("x" * 61, "x" * 59 + "…"),
    ],
)
def test_printable_escapes_control_characters(name: str, shown: str):
    assert tokens.printable(name) == shown


@pytest.mark.parametrize("name", ["\x1b[2J", "a\nb", "a\u202eb", "x" * 129])
def test_rejects_a_token_name_with_control_characters(client: redis.Redis, name: str):
    with pytest.raises(Misconfigured, match="is not a valid token name"):
        tokens.create(client, Token("id", name, "*", ("record",), 0))
    assert not tokens.load(client).by_digest


@pytest.mark.parametrize(
    ("pattern", "prefix", "narrow"),
    [
        ("*", "", ""),
        ("*", "car", "car"),
        ("car-*", "", "car-"),
        ("car-*", "ca", "car-"),
        ("car-*", "car-7", "car-7"),
        ("car-*", "bus", None),
        ("car-*-door", "", "car-"),
        ("*-door", "car", "car"),
        ("car-7", "", "car-7"),
        ("car-7", "car-77", "car-77"),
    ],
)
def test_narrows_a_prefix_to_the_pattern(pattern: str, prefix: str, narrow: str | None):
    assert token(pattern).narrowed(prefix) == narrow


def test_the_cache_of_covered_devices_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tokens, "_DEVICES_CACHED_MAX", 10)
    held = token("car-*")
    assert all(held.covers(f"car-{n}") for n in range(100))
    assert len(held._covered) <= 10


@pytest.mark.parametrize("has", tokens.SCOPES)
@pytest.mark.parametrize("wants", tokens.SCOPES)
def test_a_scope_allows_itself_and_nothing_else(has: Scope, wants: Scope):
    held = token("*", has)
    if has == wants:
        held.check(wants, ["a"])
        return
    with pytest.raises(Refused) as caught:
        held.check(wants, ["a"])
    assert (caught.value.status, caught.value.code) == (403, "wrong_scope")


def test_the_error_names_the_device_that_is_not_covered():
    with pytest.raises(Refused) as caught:
        token("car-*").check("record", ["car-1", "van-1"])
    assert (caught.value.status, caught.value.code) == (403, "wrong_device")
    assert "'van-1'" in caught.value.message


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "authorization",
    ["Bearer s3", "bearer s3", "BEARER   s3 ", "Token s3", "token s3", basic("user:s3"),
     basic(":s3"), basic("u:s3").replace("Basic", "basic")],
)  # fmt: skip
def test_finds_the_secret_in_authorization(authorization: str):
    assert tokens.secret_of(authorization) == "s3"


@pytest.mark.parametrize(
    "authorization",
    ["", "s3", "Bearer", "Bearer ", "Digest s3", "Basic !", "Basic czM", "Basic /w=="],
)
def test_rejects_authorization_without_a_secret(authorization: str):
    with pytest.raises(Refused) as caught:
        tokens.secret_of(authorization)
    assert caught.value.status == 401
    assert caught.value.headers == {"WWW-Authenticate": "Bearer"}


def test_a_basic_password_may_contain_a_colon():
    assert tokens.secret_of(basic("user:a:b")) == "a:b"


def test_finds_a_token_by_secret_until_it_expires():
    forever, brief = token(), token(expires_at_ms=NOW_MS)
    table = Table("1", {tokens.digest_of("a"): forever, tokens.digest_of("b"): brief})
    assert table.find("a", NOW_MS) is forever
    assert table.find("b", NOW_MS - 1) is brief
    for secret, now_ms in (("b", NOW_MS), ("c", NOW_MS), ("", NOW_MS), ("a ", NOW_MS)):
        with pytest.raises(Refused) as caught:
            table.find(secret, now_ms)
        assert caught.value.status == 401


def test_half_a_digest_is_not_enough():
    digest = tokens.digest_of("a")
    table = Table("1", {digest[:32] + "0" * 32: token()})
    with pytest.raises(Refused):
        table.find("a", NOW_MS)


def test_redis_stores_the_hash_and_not_the_secret(client: redis.Redis):
    secret = tokens.create(client, token("car-*", "record", "collect"))
    held = repr(client.hgetall(keys.TOKENS))
    assert secret not in held
    assert secret.removeprefix("trb_") not in held
    assert hashlib.sha256(secret.encode()).hexdigest() in held
    assert tokens.load(client).find(secret, NOW_MS).device == "car-*"


def test_secrets_are_distinct_and_have_256_bits(client: redis.Redis):
    secrets = {tokens.create(client, token()) for _ in range(50)}
    assert len(secrets) == 50
    assert {len(base64.urlsafe_b64decode(s.removeprefix("trb_") + "=")) for s in secrets} == {32}


def test_revoking_a_token_deletes_its_counts(client: redis.Redis):
    for name in ("one", "two"):
        tokens.create(client, Token(name, "", "*", ("record",), 0, series_max=5))
    used = {"one:series": 3, "one:devices": 2, "two:series": 1, "gone:series": 1}
    client.hset(keys.TOKEN_USE, mapping=used)  # `gone`: counted after it was revoked
    assert tokens.revoke(client, "one")
    assert client.hgetall(keys.TOKEN_USE) == {b"two:series": b"1"}
    assert tokens.revoke(client, "two")
    assert not client.exists(keys.TOKEN_USE)


def test_revoking_works_without_permission_to_delete_the_counts(client: redis.Redis):
    tokens.create(client, token())
    client.hset(keys.TOKEN_USE, "id:series", 1)
    client.acl_setuser("old", enabled=True, nopass=True, keys=[keys.TOKENS], commands=["+@all"])
    old = redis.Redis(
        connection_pool=redis.ConnectionPool(
            connection_class=client.connection_pool.connection_class,
            **client.connection_pool.connection_kwargs | {"username": "old", "password": ""},
        )
    )
    try:
        assert tokens.revoke(old, "id")
    finally:
        old.close()
        client.acl_deluser("old")
    assert tokens.load(client).by_digest == {}


def test_every_change_changes_the_version(client: redis.Redis):
    seen = [tokens.version(client)]
    tokens.create(client, token())
    seen.append(tokens.version(client))
    assert tokens.revoke(client, "id")
    seen.append(tokens.version(client))
    assert len(set(seen)) == 3
    assert not tokens.revoke(client, "id")
    assert tokens.version(client) == seen[-1]
    assert tokens.load(client).by_digest == {}


@pytest.mark.parametrize("device", ["", "a b", "{x}", "x" * 129, "größe", "a?"])
def test_rejects_a_pattern_that_no_device_could_match(client: redis.Redis, device: str):
    with pytest.raises(Misconfigured, match="pattern"):
        tokens.create(client, token(device))


def test_rejects_a_token_without_a_scope(client: redis.Redis):
    with pytest.raises(Misconfigured, match="scope"):
        tokens.create(client, Token("id", "", "*", (), NOW_MS))
