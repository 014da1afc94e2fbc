"""One pipelined connection to Redis for asyncio: what is sent in a tick is one write.

redis-py is not used where exactly-once depends on the connection: it reconnects and repeats
commands on its own. A pipe never does. When it is lost, every waiting command gets
`ConnectionGone`, and it is for the caller to decide.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Self, TypeVar, cast

import hiredis
from redis.connection import SSLConnection, parse_url

from tributary.errors import ConnectionGone, Misconfigured, TributaryError
from tributary.store.redis_client import of_reply
from tributary.store.redis_url import shown

Reply = Any
OnReply = Callable[[Reply], None]

pack = cast(Callable[[tuple[Any, ...]], bytes], hiredis.pack_command)
P = TypeVar("P", bound=asyncio.Protocol)
_CONNECT_TIMEOUT_S = 5.0


class Pipe(asyncio.Protocol):
    """A connection whose commands are answered in the order they were sent."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._unsent: list[bytes] = []
        self._waiting: deque[OnReply] = deque()
        self._transport: asyncio.Transport | None = None
        self._is_retired = False
        self._is_held = False
        self.heard_at_s = self._loop.time()
        self.waiting_since_s = self.heard_at_s  # the last reply, or the first command after it

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
                pipe = await target.connect(cls)
                await _greet(pipe, target.greeting)
        except (OSError, TimeoutError) as error:
            raise ConnectionGone(f"no Redis at {target.place}: {error}") from error
        return pipe

    @property
    def is_open(self) -> bool:
        """Whether commands can still be sent."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def is_waiting(self) -> bool:
        """Whether a reply is outstanding."""
        return bool(self._waiting)

    def send(self, command: bytes, on_reply: OnReply) -> None:
        """Queue a packed command; `on_reply` gets the reply, or an exception as a value."""
        if not self.is_open:
            on_reply(ConnectionGone("the connection to Redis is closed"))
            return
        if not (self._unsent or self._is_held):
            self._loop.call_soon(self.flush)
        if not self._waiting:
            self.waiting_since_s = self._loop.time()
        self._unsent.append(command)
        self._waiting.append(on_reply)

    async def call(self, *arguments: Any) -> Reply:
        """Send one command and wait for its reply.

        Raises:
            TributaryError: the reply is an error, or the connection was lost before it.
        """
        return checked(await self.ask(*arguments))

    def ask(self, *arguments: Any) -> asyncio.Future[Reply]:
        """Send one command; the future gets its reply, or an exception as a value."""
        future: asyncio.Future[Reply] = self._loop.create_future()

        def answer(reply: Reply) -> None:
            if not future.done():
                future.set_result(reply)

        self.send(pack(arguments), answer)
        return future

    def close(self) -> None:
        """Close at once; what waits gets `ConnectionGone`."""
        if self._transport is not None:
            self._transport.abort()

    def retire(self, patience_s: float) -> None:
        """Close as soon as nothing waits for a reply, or when patience ends."""
        self._is_retired = True
        if self._waiting:
            self._loop.call_later(patience_s, self.close)
        else:
            self.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected (called by asyncio)."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """Hand each complete reply to the one who waits for it (called by asyncio)."""
        self.heard_at_s = self.waiting_since_s = self._loop.time()
        reader, waiting = self._reader, self._waiting
        reader.feed(data)
        while (reply := reader.gets()) is not False:
            waiting.popleft()(reply)
        if self._is_retired and not waiting:
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        """Tell everyone who waits (called by asyncio)."""
        self._transport = None
        gone = ConnectionGone(f"the connection to Redis was lost: {error or 'closed'}")
        while self._waiting:
            self._waiting.popleft()(gone)

    def hold(self) -> None:
        """Write nothing before `flush`: who sends several at once spares a turn of the loop."""
        self._is_held = True

    def flush(self) -> None:
        """Write what was sent, in one piece."""
        self._is_held = False
        if self._unsent and self._transport is not None:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()


async def _greet(pipe: Pipe, greeting: list[tuple[str, ...]]) -> None:
    try:
        for command in greeting:
            await pipe.call(*command)
    except BaseException:
        pipe.close()
        raise


def failure(reply: Reply) -> TributaryError | None:
    """The error that a reply is, if it is one."""
    if isinstance(reply, TributaryError):
        return reply
    return of_reply(str(reply)) if isinstance(reply, hiredis.ReplyError) else None


def checked(reply: Reply) -> Reply:
    """A reply, if it is none of the errors.

    Raises:
        TributaryError: it is one.
    """
    error = failure(reply)
    if error is not None:
        raise error
    return reply


class _Target(NamedTuple):
    """What a Redis URL says, as redis-py reads it."""

    path: str
    host: str
    port: int
    tls: ssl.SSLContext | None
    greeting: list[tuple[str, ...]]

    @classmethod
    def parse(cls, url: str) -> Self:
        try:
            said: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
        except ValueError as error:
            raise Misconfigured(f"redis_url={shown(url)!r}: {error}") from None
        tls = None
        if issubclass(said.get("connection_class", object), SSLConnection):
            tls = ssl.create_default_context(cafile=said.get("ssl_ca_certs"))
        greeting: list[tuple[str, ...]] = []
        if said.get("password"):
            user = [said["username"]] if said.get("username") else []
            greeting.append(("AUTH", *user, said["password"]))
        if said.get("db"):
            greeting.append(("SELECT", str(said["db"])))
        host, port = said.get("host", "127.0.0.1"), said.get("port", 6379)
        return cls(said.get("path", ""), host, port, tls, greeting)

    @property
    def place(self) -> str:
        return self.path or f"{self.host}:{self.port}"

    async def connect(self, factory: Callable[[], P]) -> P:
        loop = asyncio.get_running_loop()
        if self.path:
            return (await loop.create_unix_connection(factory, self.path))[1]
        return (await loop.create_connection(factory, self.host, self.port, ssl=self.tls))[1]
