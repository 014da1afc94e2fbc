"""One pipelined connection to Redis for asyncio: what is sent in a tick is one write.

redis-py is not used where exactly-once depends on the connection: it reconnects and repeats
commands on its own. A pipe never does. When it is lost, every waiting command gets
`ConnectionGone`, and it is for the caller to decide.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Self, cast
from urllib.parse import parse_qs, unquote, urlsplit

import hiredis

from tributary.connection import of_reply
from tributary.errors import ConnectionGone, Misconfigured, TributaryError

Reply = Any
OnReply = Callable[[Reply], None]

pack = cast(Callable[[tuple[Any, ...]], bytes], hiredis.pack_command)
_CONNECT_TIMEOUT_S = 5.0


class Pipe(asyncio.Protocol):
    """A connection whose commands are answered in the order they were sent."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._unsent: list[bytes] = []
        self._waiting: deque[OnReply] = deque()
        self._transport: asyncio.Transport | None = None
        self.heard_at_s = self._loop.time()

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect, log in and choose the database that the URL names.

        Raises:
            ConnectionGone: nobody answers there.
            Misconfigured: the URL is not one of Redis, or the login is refused.
        """
        target = _Target.parse(url)
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                pipe: Self = await target.connect(cls)
                for command in target.greeting:
                    await pipe.call(*command)
        except (OSError, TimeoutError) as error:
            raise ConnectionGone(f"no Redis at {target.place}: {error}") from error
        return pipe

    @property
    def is_open(self) -> bool:
        """Whether commands can still be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, command: bytes, on_reply: OnReply) -> None:
        """Queue a packed command; `on_reply` gets the reply, or an exception as a value."""
        if not self.is_open:
            on_reply(ConnectionGone("the connection to Redis is closed"))
            return
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(command)
        self._waiting.append(on_reply)

    async def call(self, *arguments: Any) -> Reply:
        """Send one command and wait for its reply.

        Raises:
            TributaryError: the reply is an error, or the connection was lost before it.
        """
        future: asyncio.Future[Reply] = self._loop.create_future()

        def answer(reply: Reply) -> None:
            if not future.done():
                future.set_result(reply)

        self.send(pack(arguments), answer)
        return checked(await future)

    def close(self) -> None:
        """Close at once; what waits gets `ConnectionGone`."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected (called by asyncio)."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """Hand each complete reply to the one who waits for it (called by asyncio)."""
        self.heard_at_s = self._loop.time()
        reader, waiting = self._reader, self._waiting
        reader.feed(data)
        while (reply := reader.gets()) is not False:
            waiting.popleft()(reply)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell everyone who waits (called by asyncio)."""
        self._transport = None
        gone = ConnectionGone(f"the connection to Redis was lost: {error or 'closed'}")
        while self._waiting:
            self._waiting.popleft()(gone)

    def _flush(self) -> None:
        if self._transport is not None:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()


def checked(reply: Reply) -> Reply:
    """A reply, if it is none of the errors.

    Raises:
        TributaryError: it is one.
    """
    if isinstance(reply, TributaryError):
        raise reply
    if isinstance(reply, hiredis.ReplyError):
        raise of_reply(str(reply)) from None
    return reply


class _Target:
    """What a Redis URL says."""

    def __init__(self, place: str, connect: Callable[..., Any], greeting: list[Any]) -> None:
        self.place = place
        self.connect = connect
        self.greeting = greeting

    @classmethod
    def parse(cls, url: str) -> _Target:
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        database = query.get("db", [parts.path.strip("/") if parts.scheme != "unix" else ""])[0]
        loop = asyncio.get_running_loop()
        if parts.scheme == "unix":
            place = unquote(parts.path)

            async def connect(factory: Callable[[], Pipe]) -> Pipe:
                return (await loop.create_unix_connection(factory, place))[1]

        elif parts.scheme in ("redis", "rediss"):
            host, port = parts.hostname or "127.0.0.1", parts.port or 6379
            place = f"{host}:{port}"

            async def connect(factory: Callable[[], Pipe]) -> Pipe:
                tls = parts.scheme == "rediss" or None
                return (await loop.create_connection(factory, host, port, ssl=tls))[1]

        else:
            raise Misconfigured(f"redis_url={url!r} must begin with redis://, rediss:// or unix://")
        greeting: list[tuple[str, ...]] = []
        if parts.password:
            user = [unquote(parts.username)] if parts.username else []
            greeting.append(("AUTH", *user, unquote(parts.password)))
        if database not in ("", "0"):
            greeting.append(("SELECT", database))
        return cls(place, connect, greeting)
