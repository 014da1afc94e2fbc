"""One pipelined connection to Redis for asyncio: commands sent in one tick are one write.

redis-py is not used where exactly-once depends on the connection, because it reconnects and
repeats commands on its own. A pipe never does. When it is lost, every pending command gets
`ConnectionGone`, and the caller decides what to do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Self, cast

import hiredis

from tributary.errors import ConnectionGone, TributaryError
from tributary.store import scripts, url_options
from tributary.store.replies import error_of

Reply = Any
OnReply = Callable[[Reply], None]

pack = cast(Callable[[tuple[Any, ...]], bytes], hiredis.pack_command)
_CONNECT_TIMEOUT_S = 5.0
_ELSEWHERE = ("MOVED", "CLUSTERDOWN")  # the latter also of a node that the others have replaced
_packed: Callable[[tuple[bytes, OnReply]], bytes] = itemgetter(0)


class Pipe(asyncio.Protocol):
    """A connection to Redis; replies arrive in the order of the commands.

    A new pipe is closed; `open` connects one.
    """

    def __init__(self, closed_because: TributaryError | None = None) -> None:
        self.closed_because = closed_because or ConnectionGone("there is no connection to Redis")
        self.was_redirected = False  # a command was rejected: another node may hold its slot
        self.rejection: hiredis.ReplyError | None = None  # of the last script, if it was rejected
        self.waiting_since_s = 0.0  # the last reply, or the first command after it
        self.is_in_order = False  # no command may be executed before one that was sent earlier
        self._loop: asyncio.AbstractEventLoop
        self._reader = hiredis.Reader()
        self._unsent: list[tuple[bytes, OnReply]] = []
        self._pending: deque[tuple[bytes, OnReply]] = deque()
        self._transport: asyncio.Transport | None = None
        self._is_retired = False

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect, log in and select the database of the URL.

        Raises:
            ConnectionGone: no server is reachable there.
            Misconfigured: the URL is not a Redis URL, or its certificates cannot be used.
            NotPermitted: the login was rejected.
        """
        options = url_options.parse(url)
        host, port = options.get("host", "127.0.0.1"), options.get("port", 6379)
        path, tls, loop = options.get("path"), url_options.tls(options), asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                if path:
                    _, pipe = await loop.create_unix_connection(cls, path)
                else:
                    _, pipe = await loop.create_connection(cls, host, port, ssl=tls)
                await pipe._log_in(options)  # noqa: SLF001 (its own)
        except (OSError, TimeoutError) as error:
            raise ConnectionGone(f"no Redis at {path or f'{host}:{port}'}: {error}") from error
        return pipe

    @property
    def is_open(self) -> bool:
        """Whether commands can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def is_waiting(self) -> bool:
        """Whether a reply is outstanding."""
        return bool(self._pending)

    def send(self, command: bytes, on_reply: OnReply) -> None:
        """Send a packed command at the end of this tick; `on_reply` gets the reply or an exception.

        Never sent again, since it may have been executed; except when Redis rejects a script
        that it has not cached. Then it is executed after the commands that were sent behind it,
        so with `is_in_order` it is sent again only if there are none.
        """
        if self._transport is None:
            on_reply(self.closed_because)
            return
        if not self._unsent:
            self._loop.call_soon(self.write, ())
        self._unsent.append((command, on_reply))

    def write(self, commands: Sequence[tuple[bytes, OnReply]]) -> None:
        """Send packed commands now, in one write, behind those that wait for the end of the tick."""
        if self._unsent:
            commands, self._unsent = [*self._unsent, *commands], []
        elif not commands:
            return
        if self._transport is None or self._transport.is_closing():
            for _, on_reply in commands:
                on_reply(self.closed_because)
            return
        if not self._pending:
            self.waiting_since_s = self._loop.time()
        self._pending.extend(commands)
        self._transport.write(b"".join(map(_packed, commands)))

    async def call(self, *command: Any) -> Reply:
        """Send one command and wait for its reply.

        Raises:
            TributaryError: the reply is an error, or the connection was lost before it.
        """
        return checked(await self.request(*command))

    def request(self, *command: Any) -> asyncio.Future[Reply]:
        """Send one command; the future gets its reply, or an exception as a value."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def set_result(reply: Reply) -> None:
            if not future.done():
                future.set_result(reply)

        self.send(pack(command), set_result)
        return future

    def close(self) -> None:
        """Close immediately; pending commands get `ConnectionGone`."""
        if self._transport is not None:
            self._transport.abort()

    def retire(self, timeout_s: float) -> None:
        """Close as soon as no reply is outstanding, at the latest after `timeout_s`."""
        self._is_retired = True
        if self._pending or self._unsent:
            self._loop.call_later(timeout_s, self.close)
        else:
            self.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._loop = asyncio.get_running_loop()
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass

    def data_received(self, data: bytes) -> None:
        """Pass each complete reply to its callback (called by asyncio)."""
        self.waiting_since_s = self._loop.time()
        reader, pending = self._reader, self._pending
        reader.feed(data)
        while (reply := reader.gets()) is not False:
            command, on_reply = pending.popleft()
            if type(reply) is hiredis.ReplyError:
                self._on_error(command, on_reply, reply)
                continue
            if self.rejection is not None and scripts.is_call(command):
                self.rejection = None
            on_reply(reply)
        if self._is_retired and not (pending or self._unsent):
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        """Fail everything that is pending (called by asyncio)."""
        self._transport = None
        reason = error or "closed"
        self.closed_because = ConnectionGone(f"the connection to Redis was lost: {reason}")
        while self._pending:
            self._pending.popleft()[1](self.closed_because)

    async def _log_in(self, options: dict[str, Any]) -> None:
        try:
            if options.get("password"):
                user = [options["username"]] if options.get("username") else []
                await self.call("AUTH", *user, options["password"])
            if options.get("db"):
                await self.call("SELECT", str(options["db"]))
        except BaseException:
            self.close()
            raise

    def _on_error(self, command: bytes, on_reply: OnReply, error: hiredis.ReplyError) -> None:
        text = str(error)
        may_repeat = not (self.is_in_order and (self._pending or self._unsent))
        if may_repeat and (again := scripts.retry(command, text)) is not None:
            self.write([(again, on_reply)])
            return
        if scripts.is_call(command):
            self.rejection = error
        self.was_redirected |= text.startswith(_ELSEWHERE)
        on_reply(error)


def failure(reply: Reply) -> TributaryError | None:
    """The exception for a reply that is an error."""
    if isinstance(reply, TributaryError):
        return reply
    return error_of(str(reply)) if isinstance(reply, hiredis.ReplyError) else None


def checked(reply: Reply) -> Reply:
    """Return a reply.

    Raises:
        TributaryError: the reply is an error.
    """
    if (error := failure(reply)) is not None:
        raise error
    return reply
