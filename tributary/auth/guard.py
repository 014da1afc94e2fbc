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
from dataclasses import KW_ONLY, dataclass

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
_NOT_READ = "the tokens have not been read from Redis yet"

Secret = Callable[[], str]  # finds the token of a request
Task = Callable[[redis.Redis], None]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_exposed(settings: Settings, client: redis.Redis) -> bool:
    """Whether other machines could connect without a token, and `open` does not allow it."""
    if settings.open or is_loopback(settings.host):
        return False
    return not tokens.load(client).by_digest


def check_exposure(
    settings: Settings, client: redis.Redis, command: str = "tributary token create"
) -> None:
    """Raise `Misconfigured` if the deployment is exposed; `command` is the remedy it names."""
    if is_exposed(settings, client):
        raise Misconfigured(
            f"host={settings.host!r} is reachable from other machines, and there are no tokens; "
            f"create one with `{command}`, listen on 127.0.0.1, or allow everybody with --open"
        )


def report_ignored_tokens(settings: Settings, client: redis.Redis) -> None:
    """Log a warning if `open` makes existing tokens ineffective."""
    if settings.open and (ignored := len(tokens.load(client).by_digest)):
        logger.bind(action="open", ignored_tokens=ignored).warning(
            "everybody may connect (--open); existing tokens are ignored"
        )


@dataclass(slots=True, eq=False)
class RequestHeaders:
    """The header fields that the handlers use; `memo` caches the result of authentication."""

    authorization: str = ""
    content_type: str = ""
    content_encoding: str = "identity"
    idempotency_key: str | None = None
    _: KW_ONLY
    host: str | None = None
    origin: str | None = None
    fetch_site: str | None = None
    find: Callable[[str], str | None] | None = None  # any other one
    is_cross_site: bool = False  # set by the guard where no token is required
    is_plain: bool | None = None  # set by admission: JSON, no encoding, no key
    memo: tuple[tokens.Table, Token | None] | None = None
    # Set by admission: with these tokens nothing but the body of a request needs to be checked.
    is_free_with: tokens.Table | None = None

    def field(self, name: str) -> str | None:
        """Another header field that a client sends at most once."""
        return None if self.find is None else self.find(name)


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
        self._tasks: list[Task] = [REFUSALS.flush]
        self.refresh()
        # A weak reference, so that the thread ends with the app that owns this guard.
        guard = weakref.ref(self)
        threading.Thread(target=_poll, args=(guard,), name="tokens", daemon=True).start()

    @property
    def table(self) -> tokens.Table | None:
        """The tokens; another object as soon as one of them changes."""
        return self._table

    def every_second(self, task: Task) -> None:
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
            raise Unavailable(_NOT_READ)
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
        """Check what `admit` checks without tokens (421, 403); for routes that require none."""
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
        return _NOT_READ if self._table is None else None

    def refresh(self) -> None:
        """Reload the tokens if they have changed, and run the tasks; called once per second."""
        try:
            table = self._table
            if table is None or tokens.version(self._client) != table.version:
                self._table = tokens.load(self._client)
        except TributaryError as error:
            self._outage.begin(error)
            return
        failure: TributaryError | None = None
        for task in self._tasks:  # each runs even if another one fails
            try:
                task(self._client)
            except TributaryError as error:
                failure = failure or error
        if failure is not None:
            self._outage.begin(failure)
        else:
            self._outage.end()


def _poll(guard: weakref.ref[Guard]) -> None:
    while True:
        time.sleep(_POLL_INTERVAL_S)
        if (alive := guard()) is None:
            return
        alive.refresh()
        del alive
