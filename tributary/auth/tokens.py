"""Access tokens; Redis stores only their SHA-256.

A secret is 256 random bits, so a fast hash is safe. A token is limited to a pattern of device
names and to some scopes. Functions with a client raise `Unavailable` while Redis is.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Literal, get_args

import msgspec
import redis

from tributary.errors import Misconfigured, NotPermitted, Refused
from tributary.model import pattern
from tributary.store import keys
from tributary.store.redis_client import failures

Scope = Literal["record", "collect", "operate"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_PREFIX = "trb_"
_VERSION = "version"
_SELECTOR = 32
_DEVICES_CACHED_MAX = 10_000
_NAME_MAX = 128
_PRINTED_MAX = 60


class Token(msgspec.Struct, frozen=True, dict=True):
    """A token as stored in Redis; times are UTC milliseconds."""

    id: str
    name: str
    device: str
    scopes: tuple[Scope, ...]
    created_at_ms: int
    expires_at_ms: int | None = None
    series_max: int = 0  # that may be first recorded with it; 0: no limit
    devices_max: int = 0

    @property
    def is_capped(self) -> bool:
        """Whether the number of new series or devices is limited."""
        return bool(self.series_max or self.devices_max)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return pattern.compiled(self.device)

    @cached_property
    def _covered(self) -> dict[str, bool]:
        return {}

    @property
    def is_for_all(self) -> bool:
        """Whether the token is for every device."""
        return self.device == pattern.ANY

    @property
    def is_for_one(self) -> bool:
        """Whether the token is for one device, whose name is its pattern."""
        return pattern.ANY not in self.device

    def narrowed(self, prefix: str) -> str | None:
        """The prefix shared by the covered devices that begin with `prefix`; None: there are none."""
        own = self.device.partition(pattern.ANY)[0]
        if own.startswith(prefix):
            return own
        return prefix if prefix.startswith(own) else None

    def covers(self, device: str) -> bool:
        """Whether the token is for this device."""
        covered = self._covered.get(device)
        if covered is None:
            if len(self._covered) >= _DEVICES_CACHED_MAX:
                self._covered.clear()
            covered = self._covered[device] = self._pattern.fullmatch(device) is not None
        return covered

    def check(self, scope: Scope, devices: Iterable[str] = ()) -> None:
        """Raise 403 unless the token has the scope and covers the devices."""
        if scope not in self.scopes:
            raise Refused(
                f"token {self.id} lacks the scope {scope}; use one that has it",
                status=403,
                code="wrong_scope",
            )
        if self.is_for_all:
            return
        for device in devices:
            if not self.covers(device):
                raise Refused(
                    f"token {self.id} is not for device {device!r:.140}; use one that is",
                    status=403,
                    code="wrong_device",
                    field="device",
                )


class Table:
    """All tokens at one moment; `version` changes whenever a token does."""

    def __init__(self, version: str, by_digest: Mapping[str, Token]) -> None:
        self.version = version
        self.by_digest = by_digest
        # Looked up by half of the digest, then compared in full and in constant time.
        self._by_selector = {d[:_SELECTOR]: (d, token) for d, token in by_digest.items()}

    def find(self, secret: str, now_ms: int) -> Token:
        """The token with this secret; raises 401 if it is unknown or has expired."""
        digest = digest_of(secret)
        held, token = self._by_selector.get(digest[:_SELECTOR], ("", None))
        if not hmac.compare_digest(held, digest) or token is None:
            raise unauthorized("unknown token")
        if token.expires_at_ms is not None and token.expires_at_ms <= now_ms:
            raise unauthorized(f"token {token.id} has expired")
        return token


def printable(text: str, limit: int = _PRINTED_MAX) -> str:
    """Escape control and direction characters and line ends; truncate to `limit` characters."""
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


def digest_of(secret: str) -> str:
    """The digest that Redis stores instead of the secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def secret_of(authorization: str) -> str:
    """The secret in an Authorization header: Bearer, Token, or the password of Basic; or 401."""
    scheme, _, value = authorization.strip().partition(" ")
    value = value.strip()
    if scheme.lower() in ("bearer", "token") and value:
        return value
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            raise unauthorized("invalid base64 in Basic authorization") from None
    raise unauthorized("missing token")


def unauthorized(reason: str) -> Refused:
    """401 with a message on how to send a token."""
    return Refused(
        f"{reason}; send Authorization: Bearer TOKEN",
        status=401,
        code="unauthorized",
        headers={"WWW-Authenticate": "Bearer"},
    )


def load(client: redis.Redis) -> Table:
    """Read all tokens."""
    with failures():
        held: Any = client.hgetall(keys.TOKENS)
    fields = {name.decode(): value for name, value in held.items()}
    version = fields.pop(_VERSION, b"").decode()
    tokens = {name: msgspec.json.decode(value, type=Token) for name, value in fields.items()}
    return Table(version, tokens)


def version(client: redis.Redis) -> str:
    """The current version of the table."""
    with failures():
        held: Any = client.hget(keys.TOKENS, _VERSION)
    return (held or b"").decode()


def create(client: redis.Redis, token: Token) -> str:
    """Store a token under a new secret, and return the secret, which is not stored.

    Raises:
        Misconfigured: the name, the pattern or the scopes are not valid.
    """
    if len(token.name) > _NAME_MAX or not token.name.isprintable():
        raise Misconfigured(
            f"name={printable(token.name)!r} is not a valid token name; "
            f"use at most {_NAME_MAX} printable characters"
        )
    if not pattern.is_pattern(token.device):
        raise Misconfigured(
            f"device={token.device!r:.140} is not a valid device pattern; use {pattern.RULE}"
        )
    if not token.scopes:
        raise Misconfigured(f"a token needs a scope: {', '.join(SCOPES)}")
    secret = _PREFIX + secrets.token_urlsafe(32)
    with failures():
        stored, version = msgspec.json.encode(token), secrets.token_hex(8)
        client.hset(keys.TOKENS, mapping={digest_of(secret): stored, _VERSION: version})
    return secret


def revoke(client: redis.Redis, token_id: str) -> bool:
    """Delete a token and its counts; False if there is no token with this id."""
    held = load(client).by_digest
    digests = [d for d, token in held.items() if token.id == token_id]
    if not digests:
        return False
    with failures():
        both = client.pipeline(transaction=True)
        both.hdel(keys.TOKENS, *digests)
        both.hset(keys.TOKENS, _VERSION, secrets.token_hex(8))
        both.execute()
    # Not part of the transaction: in a cluster the two keys are on different nodes. Counts of
    # tokens revoked earlier are deleted, too: a process adds some until it reloads the tokens.
    kept = {token.id for token in held.values()} - {token_id}
    with contextlib.suppress(NotPermitted), failures():
        fields: Any = client.hkeys(keys.TOKEN_USE)
        others = [field for field in fields if field.decode().rpartition(":")[0] not in kept]
        if others:
            client.hdel(keys.TOKEN_USE, *others)
    return True
