"""Authentication of requests in an HTTP process.

The table of tokens is in memory, so authentication never waits for Redis. A thread polls Redis
for changes; a revoked token is rejected within `REVOKED_WITHIN_S`.
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

REVOKED_WITHIN_S = 5.0  # promised in docs/http.md; polling leaves room for a slow Redis
_POLL_INTERVAL_S = 1.0


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposure(
    settings: Settings, client: redis.Redis, command: str = "tributary token create"
) -> None:
    """Raise if other machines could connect without a token, unless `open` allows it.

    Args:
        settings: `host` and `open`.
        client: reads the tokens.
        command: creates a token; the error message recommends it.

    Raises:
        Misconfigured: other machines can reach the address, and there are no tokens.
        Unavailable: Redis is unavailable.
    """
    if settings.open or is_loopback(settings.host) or tokens.load(client).by_digest:
        return
    raise Misconfigured(
        f"host={settings.host!r} is reachable from other machines, and there are no tokens; "
        f"create one with `{command}`, listen on 127.0.0.1, or allow everybody with --open"
    )


def report_ignored_tokens(settings: Settings, client: redis.Redis) -> None:
    """Log a warning if `open` makes existing tokens ineffective.

    Raises:
        Unavailable: Redis is unavailable.
    """
    if settings.open and (ignored := len(tokens.load(client).by_digest)):
        logger.bind(action="open", ignored_tokens=ignored).warning(
            "everybody may connect (--open); existing tokens are ignored"
        )


Secret = Callable[[], str]  # finds the token of a request


class RequestHeaders:
    """The header fields that the handlers use; `memo` caches the result of authentication."""

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

    def __init__(  # noqa: PLR0913 - a record of header fields
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
        self.is_cross_site = False  # set by the guard where no token is required
        self.is_plain: bool | None = None  # set by admission: JSON, no encoding, no key
        self.memo: tuple[tokens.Table, Token | None] | None = None

    def field(self, name: str) -> str | None:
        """Another header field that a client sends at most once."""
        return None if self._find is None else self._find(name)


class Guard:
    """Authenticates requests; None as token means that no token is required."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self._client = client
        self._browsers = browsers.Policy(
            browsers.parse_hosts(settings.public_hosts), cors.parse_origins(settings.cors_origins)
        )
        self._is_open = settings.open
        self._is_exposed = not is_loopback(settings.host)
        self._outage = Outage("redis (tokens)")
        self._table: tokens.Table | None = None
        self._tasks: list[Callable[[redis.Redis], None]] = [REFUSALS.flush]
        self.refresh()
        # A weak reference, so that the thread ends with the app that owns this guard.
        guard = weakref.ref(self)
        threading.Thread(target=_poll, args=(guard,), name="tokens", daemon=True).start()

    def every_second(self, task: Callable[[redis.Redis], None]) -> None:
        """Call a task now and then once per second, in the guard's thread with its client."""
        with contextlib.suppress(TributaryError):  # the thread will log an outage
            task(self._client)
        self._tasks.append(task)

    def admit(
        self, headers: RequestHeaders, *, writes: bool = False, secret: Secret | None = None
    ) -> Token | None:
        """The token of a request; None where no token is required.

        Args:
            headers: its header fields.
            writes: whether the request changes stored data.
            secret: finds a token that is not in Authorization; called only if one is required.

        Raises:
            Refused: 401 without a valid token; where no token is required, 421 for an unknown
                host name and 403 for a write from a page of another site.
            Unavailable: the tokens have not been read from Redis yet.
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
        if not self._requires_token(table):
            self._check_browser(headers, writes=writes)
            headers.memo = (table, None)
            return None
        now_ms = time.time_ns() // 1_000_000
        if secret is not None:  # not part of the header fields, so it must not be cached
            return table.find(secret(), now_ms)
        token = table.find(tokens.secret_of(headers.authorization), now_ms)
        headers.memo = (table, token)
        return token

    def check_browser(self, headers: RequestHeaders, *, writes: bool) -> None:
        """Check what `admit` checks without tokens; for routes that require none.

        Raises:
            Refused: 421 or 403.
        """
        if self._table is None or not self._requires_token(self._table):
            self._check_browser(headers, writes=writes)

    def _check_browser(self, headers: RequestHeaders, *, writes: bool) -> None:
        self._browsers.check_host(headers.host)
        headers.is_cross_site = self._browsers.is_cross_site(
            headers.host, headers.origin, headers.fetch_site
        )
        if writes and headers.is_cross_site:
            raise browsers.cross_site()

    def _requires_token(self, table: tokens.Table) -> bool:
        return not self._is_open and (self._is_exposed or bool(table.by_digest))

    def readiness(self) -> str | None:
        """Why no request can be authenticated yet, or None."""
        return "the tokens have not been read from Redis yet" if self._table is None else None

    def refresh(self) -> None:
        """Reload the tokens if they have changed, and run the tasks; called once per second."""
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
        """Run a task and return its error: the other tasks run in any case."""
        try:
            task(self._client)
        except TributaryError as error:
            return error
        return None


def _poll(guard: weakref.ref[Guard]) -> None:
    while True:
        time.sleep(_POLL_INTERVAL_S)
        alive = guard()
        if alive is None:
            return
        alive.refresh()
        del alive
