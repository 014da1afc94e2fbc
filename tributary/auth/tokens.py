"""Who may do what: tokens, of which Redis holds only the SHA-256.

A token is 256 random bits: a fast hash is enough, and none can be guessed. It is for a pattern
of device names and for some scopes.
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
from tributary.store import keys
from tributary.store.redis_client import failures

Scope = Literal["record", "collect", "operate"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_PREFIX = "trb_"
_ANY = "*"  # the pattern of every device
_VERSION = "version"
_SELECTOR = 32
_PATTERN = re.compile(r"[A-Za-z0-9._:/*-]{1,128}")
_DEVICES_KEPT_MAX = 10_000
_NAME_MAX = 128
_SHOWN_MAX = 60


class Token(msgspec.Struct, frozen=True, dict=True):
    """What Redis holds of a token; times are UTC milliseconds."""

    id: str
    name: str
    device: str
    scopes: tuple[Scope, ...]
    created_at_ms: int
    expires_at_ms: int | None = None
    series_max: int = 0  # first recorded with it; 0: any number
    devices_max: int = 0

    @property
    def is_capped(self) -> bool:
        """Whether it may bring a limited number of series or devices only."""
        return bool(self.series_max or self.devices_max)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(re.escape(self.device).replace(r"\*", ".*"))

    @cached_property
    def _known(self) -> dict[str, bool]:
        return {}

    @property
    def is_for_all(self) -> bool:
        """Whether the token is for every device."""
        return self.device == _ANY

    def narrowed(self, prefix: str) -> str | None:
        """The prefix of all devices that begin with `prefix` and may be covered; None: none is."""
        own = self.device.partition(_ANY)[0]
        if own.startswith(prefix):
            return own
        return prefix if prefix.startswith(own) else None

    def covers(self, device: str) -> bool:
        """Whether the token is for this device."""
        covered = self._known.get(device)
        if covered is None:
            if len(self._known) >= _DEVICES_KEPT_MAX:
                self._known.clear()
            covered = self._known[device] = self._pattern.fullmatch(device) is not None
        return covered

    def check(self, scope: Scope, devices: Iterable[str] = ()) -> None:
        """Let pass what the token may do.

        Raises:
            Refused: 403, naming the scope or the device.
        """
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
    """The tokens as of one moment; `version` changes with every change of any of them."""

    def __init__(self, version: str, by_digest: Mapping[str, Token]) -> None:
        self.version = version
        self.by_digest = by_digest
        # Found by half of the digest, then compared whole and in constant time.
        self._found = {d[:_SELECTOR]: (d, token) for d, token in by_digest.items()}

    def find(self, secret: str, now_ms: int) -> Token:
        """The token with this secret.

        Raises:
            Refused: 401, there is none, or it has expired.
        """
        digest = digest_of(secret)
        held, token = self._found.get(digest[:_SELECTOR], ("", None))
        if not hmac.compare_digest(held, digest) or token is None:
            raise unauthorized("the token is not known")
        if token.expires_at_ms is not None and token.expires_at_ms <= now_ms:
            raise unauthorized("the token has expired")
        return token


def printable(text: str, limit: int = _SHOWN_MAX) -> str:
    """A text from outside as it may be shown on a terminal or logged.

    What a terminal would act on (control and direction characters, line ends) is escaped, and
    what is longer than `limit` characters is cut.
    """
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


def digest_of(secret: str) -> str:
    """What stands in Redis instead of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def secret_of(authorization: str) -> str:
    """The secret in an Authorization header: Bearer, Token, or the password of Basic.

    Raises:
        Refused: 401, there is none in it.
    """
    scheme, _, value = authorization.strip().partition(" ")
    value = value.strip()
    if scheme.lower() in ("bearer", "token") and value:
        return value
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            raise unauthorized("the Basic authorization is not base64") from None
    raise unauthorized("there is no token")


def unauthorized(fault: str) -> Refused:
    """401, with how to send a token."""
    return Refused(
        f"{fault}; send Authorization: Bearer TOKEN",
        status=401,
        code="unauthorized",
        headers={"WWW-Authenticate": "Bearer"},
    )


def load(client: redis.Redis) -> Table:
    """Every token.

    Raises:
        Unavailable: Redis cannot be asked.
    """
    with failures():
        held: Any = client.hgetall(keys.TOKENS)
    fields = {name.decode(): value for name, value in held.items()}
    version = fields.pop(_VERSION, b"").decode()
    tokens = {name: msgspec.json.decode(value, type=Token) for name, value in fields.items()}
    return Table(version, tokens)


def version(client: redis.Redis) -> str:
    """What tells whether the table has changed."""
    with failures():
        held: Any = client.hget(keys.TOKENS, _VERSION)
    return (held or b"").decode()


def create(client: redis.Redis, token: Token) -> str:
    """Store a token under a new secret, and return the secret: nobody can read it again.

    Raises:
        Misconfigured: the name, the pattern or the scopes are not valid.
    """
    if len(token.name) > _NAME_MAX or not token.name.isprintable():
        raise Misconfigured(
            f"name={printable(token.name)!r} is not a valid name of a token; "
            f"use at most {_NAME_MAX} printable characters"
        )
    if _PATTERN.fullmatch(token.device) is None:
        raise Misconfigured(
            f"device={token.device!r:.140} is no pattern of device names; "
            "use A-Z a-z 0-9 . _ : / - and * for any characters"
        )
    if not token.scopes:
        raise Misconfigured(f"a token needs a scope; there are {', '.join(SCOPES)}")
    secret = _PREFIX + secrets.token_urlsafe(32)
    with failures():
        both = client.pipeline(transaction=True)
        both.hset(keys.TOKENS, digest_of(secret), msgspec.json.encode(token))
        both.hset(keys.TOKENS, _VERSION, secrets.token_hex(8))
        both.execute()
    return secret


def revoke(client: redis.Redis, token_id: str) -> bool:
    """Delete the token with this id, and what it has used; whether there was one."""
    held = load(client).by_digest
    digests = [d for d, token in held.items() if token.id == token_id]
    if not digests:
        return False
    with failures():
        both = client.pipeline(transaction=True)
        both.hdel(keys.TOKENS, *digests)
        both.hset(keys.TOKENS, _VERSION, secrets.token_hex(8))
        both.execute()
    # Not in the transaction: in a cluster the two keys are on different nodes.
    with contextlib.suppress(NotPermitted):
        _delete_use(client, {token.id for token in held.values()} - {token_id})
    return True


def _delete_use(client: redis.Redis, kept: set[str]) -> None:
    """Delete what all tokens but these have used.

    Also of those that were revoked before: a process may have added some in the second or two
    until it noticed.
    """
    with failures():
        fields: Any = client.hkeys(keys.TOKEN_USE)
        gone = [field for field in fields if field.decode().rpartition(":")[0] not in kept]
        if gone:
            client.hdel(keys.TOKEN_USE, *gone)
