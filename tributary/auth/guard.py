"""The door of an HTTP process: it keeps the table of tokens and lets requests pass.

The table is in memory, so no request waits for Redis because of its token. A thread asks once
a second whether it has changed: a revoked token is refused within two seconds.
"""

from __future__ import annotations

import contextlib
import ipaddress
import threading
import time
import weakref
from collections.abc import Callable

import redis
from loguru import logger

from tributary.auth import browsers, cors, tokens
from tributary.auth.refusals import REFUSALS
from tributary.auth.tokens import Token
from tributary.errors import Misconfigured, TributaryError, Unavailable
from tributary.settings import Settings
from tributary.store.outage import Outage

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


def report_ignored_tokens(settings: Settings, client: redis.Redis) -> None:
    """Warn at start of the tokens that `open` leaves without effect.

    Raises:
        Unavailable: Redis cannot be asked for them.
    """
    if settings.open and (ignored := len(tokens.load(client).by_digest)):
        logger.bind(action="open", ignored_tokens=ignored).warning(
            "anyone who can connect is let in (--open); existing tokens are ignored"
        )


class RequestHeaders:
    """The header fields of a request that we look at; `memo` is for what follows from them."""

    __slots__ = (
        "_find",
        "authorization",
        "content_encoding",
        "content_type",
        "fetch_site",
        "host",
        "idempotency_key",
        "is_cross_site",
        "is_plain",
        "memo",
        "origin",
    )

    def __init__(  # noqa: PLR0913 - it is a record of header fields
        self,
        authorization: str = "",
        content_type: str = "",
        content_encoding: str = "identity",
        idempotency_key: str | None = None,
        *,
        host: str | None = None,
        origin: str | None = None,
        fetch_site: str | None = None,
        find: Callable[[str], str | None] | None = None,
    ) -> None:
        self.authorization = authorization
        self.content_type = content_type
        self.content_encoding = content_encoding
        self.idempotency_key = idempotency_key
        self.host = host
        self.origin = origin
        self.fetch_site = fetch_site
        self._find = find
        self.is_cross_site = False  # known once the guard has admitted it without a token
        self.is_plain: bool | None = None  # for who records: whether nothing has to be undone
        self.memo: tuple[tokens.Table, Token | None] | None = None

    def field(self, name: str) -> str | None:
        """Any header field that a client sends at most once."""
        return None if self._find is None else self._find(name)


class Guard:
    """Who may pass; `None` as token means that everybody may do everything."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self._client = client
        self._browsers = browsers.Policy(
            browsers.parse_hosts(settings.public_hosts), cors.parse_origins(settings.cors_origins)
        )
        self._is_open = settings.open
        self._demands = not is_loopback(settings.host)
        self._outage = Outage("redis (tokens)")
        self._table: tokens.Table | None = None
        self._tasks: list[Callable[[redis.Redis], None]] = [REFUSALS.flush]
        self.refresh()
        # The thread must not keep what it serves: it ends with the app that holds this guard.
        of = weakref.ref(self)
        threading.Thread(target=_keep, args=(of,), name="tokens", daemon=True).start()

    def every_second(self, task: Callable[[redis.Redis], None]) -> None:
        """Let the guard's thread call something with its client, now and once per second."""
        with contextlib.suppress(TributaryError):  # the thread reports an outage
            task(self._client)
        self._tasks.append(task)

    def admit(
        self, headers: RequestHeaders, *, writes: bool = False, secret: str | None = None
    ) -> Token | None:
        """The token of a request; None where no tokens are asked for.

        Args:
            headers: its header fields.
            writes: whether it changes what is stored.
            secret: the token, if it is not in the Authorization header; empty if there is none.

        Raises:
            Refused: 401, there is no valid token; where no tokens are asked for, 421 for a host
                name that is not known, 403 for a write that comes from a page of another site.
            Unavailable: the tokens have not been read yet; nobody passes until they are.
        """
        memo, table = headers.memo, self._table
        if table is None:
            raise Unavailable("the tokens have not been read from Redis yet")
        if memo is not None and memo[0] is table:
            token = memo[1]
            if token is None:
                if writes and headers.is_cross_site:
                    raise browsers.cross_site()
                return None
            if token.expires_at_ms is None and secret is None:
                return token
        if not self._asks_for_tokens(table):
            self._check_browser(headers, writes=writes)
            headers.memo = (table, None)
            return None
        now_ms = time.time_ns() // 1_000_000
        if secret is not None:  # equal header fields, but another token the next time
            return table.find(secret, now_ms)
        token = table.find(tokens.secret_of(headers.authorization), now_ms)
        headers.memo = (table, token)
        return token

    def check_browser(self, headers: RequestHeaders, *, writes: bool) -> None:
        """For routes that ask for no token: what `admit` checks where there are none.

        Raises:
            Refused: 421 or 403.
        """
        if self._table is None or not self._asks_for_tokens(self._table):
            self._check_browser(headers, writes=writes)

    def _check_browser(self, headers: RequestHeaders, *, writes: bool) -> None:
        self._browsers.check_host(headers.host)
        headers.is_cross_site = self._browsers.is_cross_site(
            headers.host, headers.origin, headers.fetch_site
        )
        if writes and headers.is_cross_site:
            raise browsers.cross_site()

    def _asks_for_tokens(self, table: tokens.Table) -> bool:
        return not self._is_open and (self._demands or bool(table.by_digest))

    def readiness(self) -> str | None:
        """Why no request can be judged yet, or None."""
        return "the tokens have not been read from Redis yet" if self._table is None else None

    def refresh(self) -> None:
        """Read the tokens again if they have changed; called once per second."""
        try:
            table = self._table
            if table is None or tokens.version(self._client) != table.version:
                self._table = tokens.load(self._client)
        except TributaryError as error:
            self._outage.begin(error)
            return
        failures = [each for each in map(self._failure, self._tasks) if each is not None]
        if failures:
            self._outage.begin(failures[0])
        else:
            self._outage.end()

    def _failure(self, task: Callable[[redis.Redis], None]) -> TributaryError | None:
        """Do a task; one that fails keeps no other from being done."""
        try:
            task(self._client)
        except TributaryError as error:
            return error
        return None


def _keep(of: weakref.ref[Guard]) -> None:
    while True:
        time.sleep(_ASK_S)
        kept = of()
        if kept is None:
            return
        kept.refresh()
        del kept
