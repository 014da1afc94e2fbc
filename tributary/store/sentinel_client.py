"""Clients of redis-py that follow the master behind sentinels.

`redis.sentinel` looks for the master only when it opens a connection: it would go on with one to
a server that was cut off from its sentinels, and its errors may contain passwords.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

import redis
from redis.connection import Connection, SSLConnection
from redis.utils import str_if_bytes

from tributary.errors import Unavailable
from tributary.store import url_options
from tributary.store.sentinel import Address, Watch

Handshake = Callable[[Connection], None]
_ANY: Address = ("sentinel", 0)  # replaced whenever a connection is opened


class _Following(Connection):
    """A connection to the server that is the master when it is opened."""

    def __init__(self, *, watch: Watch, handshake: Handshake | None, **options: Any) -> None:
        super().__init__(redis_connect_func=self._begin, **options)  # type: ignore[no-untyped-call]
        self._watch = watch
        self._handshake = handshake

    def connect(self) -> None:
        """Open the connection, unless it is open."""
        if not self.is_connected:
            try:
                self.host, self.port = self._watch.master()
            except Unavailable as error:
                raise redis.ConnectionError(str(error)) from None
        super().connect()  # type: ignore[no-untyped-call]

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read a reply; after a READONLY the connection is opened again, to the next master."""
        try:
            return super().read_response(*arguments, **options)
        except redis.ReadOnlyError:
            self.mark_for_reconnect()  # type: ignore[no-untyped-call]
            raise

    def _begin(self, _connection: Connection) -> None:
        try:
            self._watch.guard(self, self._watch.url_of((self.host, self.port)), _interrupt)
        except Unavailable as error:
            raise redis.ConnectionError(str(error)) from None
        self.on_connect()  # type: ignore[no-untyped-call]
        self.send_command("ROLE")  # type: ignore[no-untyped-call]
        role = str_if_bytes(self.read_response()[0])
        if role != "master":
            place = f"{self.host}:{self.port}"
            raise redis.ConnectionError(
                f"{place} is a {role}, although the sentinels name it as master"
            )
        if self._handshake is not None:
            self._handshake(self)


class _FollowingWithTls(_Following, SSLConnection):
    """The same with TLS."""


def connect(watch: Watch, handshake: Handshake | None, **options: Any) -> redis.Redis:
    """A client of the master.

    Raises:
        Misconfigured: the URL has an option that is unknown, or whose file cannot be used.
    """
    url = watch.url_of(_ANY)
    is_tls = url_options.tls(url_options.parse(url)) is not None
    return redis.Redis.from_pool(
        redis.ConnectionPool.from_url(
            url,
            connection_class=_FollowingWithTls if is_tls else _Following,
            watch=watch,
            handshake=handshake,
            **options,
        )
    )


def _interrupt(connection: Connection) -> None:
    """End what another thread does with a connection: its reads return, and it is closed there."""
    # Its disconnect() is not safe across threads.
    opened: socket.socket | None = connection._sock  # noqa: SLF001
    if opened is not None:
        with contextlib.suppress(OSError):
            # Not the method of an SSLSocket, which is not safe across threads either.
            socket.socket.shutdown(opened, socket.SHUT_RDWR)
