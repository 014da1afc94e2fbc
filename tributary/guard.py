"""The door of an HTTP process: it keeps the table of tokens and lets requests pass.

The table is in memory, so no request waits for Redis because of its token. A thread asks once
a second whether it has changed: a revoked token is refused within two seconds.
"""

from __future__ import annotations

import ipaddress
import threading
import time

import redis

from tributary import tokens
from tributary.errors import Misconfigured, TributaryError, Unavailable
from tributary.outage import Outage
from tributary.settings import Settings
from tributary.tokens import Token

_ASK_S = 1.0


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposure(
    settings: Settings, client: redis.Redis, command: str = "tributary token create"
) -> None:
    """Let nobody but this machine in without a token, unless the operator has said so.

    Args:
        settings: host, and whether anybody may connect.
        client: holds the tokens.
        command: makes a token; named in the error.

    Raises:
        Misconfigured: the address is reachable from elsewhere, and there are no tokens.
        Unavailable: Redis cannot be asked for them.
    """
    if settings.open or is_loopback(settings.host) or tokens.load(client).by_digest:
        return
    raise Misconfigured(
        f"host={settings.host!r} is reachable from other machines, and there are no tokens; "
        f"make one with `{command}`, listen on 127.0.0.1, or let anybody in with --open"
    )


class Asked:
    """The header fields of a request that we look at; `memo` is for what follows from them."""

    __slots__ = (
        "authorization",
        "content_encoding",
        "content_type",
        "idempotency_key",
        "is_plain",
        "memo",
    )

    def __init__(
        self,
        authorization: str = "",
        content_type: str = "",
        content_encoding: str = "identity",
        idempotency_key: str | None = None,
    ) -> None:
        self.authorization = authorization
        self.content_type = content_type
        self.content_encoding = content_encoding
        self.idempotency_key = idempotency_key
        self.is_plain: bool | None = None  # for who records: whether nothing has to be undone
        self.memo: tuple[tokens.Table, Token | None] | None = None


class Guard:
    """Who may pass; `None` as token means that everybody may do everything."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self._client = client
        self._is_open = settings.open
        self._demands = not is_loopback(settings.host)
        self._outage = Outage("redis (tokens)")
        self._table: tokens.Table | None = None
        self._refresh()
        threading.Thread(target=self._keep, name="tokens", daemon=True).start()

    def admit(self, asked: Asked) -> Token | None:
        """The token of a request; None where no tokens are asked for.

        Raises:
            Refused: 401, there is no valid token.
            Unavailable: the tokens have not been read yet; nobody passes until they are.
        """
        memo, table = asked.memo, self._table
        if table is None:
            raise Unavailable("the tokens have not been read from Redis yet")
        if memo is not None and memo[0] is table:
            token = memo[1]
            if token is None or token.expires_at_ms is None:
                return token
        if self._is_open or not (table.by_digest or self._demands):
            asked.memo = (table, None)
            return None
        secret = tokens.secret_of(asked.authorization)
        token = table.find(secret, time.time_ns() // 1_000_000)
        asked.memo = (table, token)
        return token

    def _keep(self) -> None:
        while True:
            time.sleep(_ASK_S)
            self._refresh()

    def _refresh(self) -> None:
        try:
            table = self._table
            if table is None or tokens.version(self._client) != table.version:
                self._table = tokens.load(self._client)
            self._outage.end()
        except TributaryError as error:
            self._outage.begin(error)
