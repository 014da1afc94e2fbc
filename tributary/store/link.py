"""A pipe that is kept open: while Redis is away, commands fail at once instead of waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import hiredis
from loguru import logger

from tributary.errors import ConnectionGone, TributaryError, Unavailable
from tributary.store.outage import Outage
from tributary.store.pipe import OnReply, Pipe, Reply, pack
from tributary.store.scripts import Script

_RETRY_S = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_CHECK_S = 0.05
_RENEW_S = 1.0
_REFUSED_RETRY_S = 0.05  # the server is there, and may take writes at any moment

Greet = Callable[[Pipe], Awaitable[None]]  # what has to be done before anything else is sent


async def no_greeting(_pipe: Pipe) -> None:
    """Nothing has to be done first."""


class Link:
    """One connection to Redis, opened again whenever it is lost."""

    def __init__(
        self,
        url: str,
        timeout_ms: int,
        scripts: tuple[Script, ...],
        name: str,
        greet: Greet = no_greeting,
    ) -> None:
        self._url = url
        self._timeout_s = timeout_ms / 1000
        self._scripts = scripts
        self._greet = greet
        self._pipe: Pipe | None = None
        self.is_misled = False  # the server does not, or not any more, hold what is asked for
        self._is_suspect = False
        self._failure: TributaryError | None = None  # why a server that answers cannot be used
        self._outage = Outage(name)
        self._refusals = Outage(f"{name}: writes")

    @property
    def is_open(self) -> bool:
        """Whether commands can be sent now."""
        return self._pipe is not None and self._pipe.is_open

    async def open(self) -> bool:
        """Open the connection if it is not; whether it is."""
        try:
            if self._pipe is None:
                await self._open()
        except TributaryError as error:
            self._outage.begin(error)
            is_refusal = isinstance(error, Unavailable) and not isinstance(error, ConnectionGone)
            self._failure = error if is_refusal else None
            return False
        self._failure = None
        return True

    async def keep(self) -> None:
        """Open the connection, and open it again, until cancelled."""
        failures = 0
        try:
            while True:
                if await self.open():
                    failures = 0
                    self._outage.begin(await self._lost())
                    self._close()
                pause_s = _RETRY_S[min(failures, len(_RETRY_S) - 1)]
                await asyncio.sleep(pause_s if self._failure is None else _REFUSED_RETRY_S)
                failures += 1
        finally:
            self._close()

    async def greet(self) -> None:
        """Greet the server again: it holds more than when the connection was opened.

        Raises:
            TributaryError: it did not answer, or refused.
        """
        if self._pipe is not None:
            await self._greeted(self._pipe)

    def send(self, command: bytes, on_reply: OnReply) -> None:
        """Send a packed command; `on_reply` gets the reply, or an exception as a value.

        A command whose reply is lost is not sent again: it may have been executed.
        """
        if self._pipe is None:
            on_reply(self._failure or ConnectionGone("there is no connection to Redis"))
        else:
            self._pipe.send(command, on_reply)

    def hold(self) -> None:
        """Write nothing before `flush`."""
        if self._pipe is not None:
            self._pipe.hold()

    def flush(self) -> None:
        """Write what was sent since `hold`."""
        if self._pipe is not None:
            self._pipe.flush()

    def evaluate(self, command: bytes, on_reply: OnReply) -> None:
        """Send a packed EVALSHA; a script that Redis has forgotten is loaded and sent again."""

        def answered(reply: Reply) -> None:
            if isinstance(reply, hiredis.ReplyError):
                if str(reply).startswith("NOSCRIPT"):
                    for script in self._scripts:
                        self.send(pack(("SCRIPT", "LOAD", script.source)), _ignored)
                    self.send(command, on_reply)  # refused before anything was written
                    return
                self._refusals.begin(reply)
                self.is_misled |= str(reply).startswith("MOVED")
                # No master any more: another connection to the same name may find the new one.
                self._is_suspect |= str(reply).startswith("READONLY")
            elif self._refusals.is_on and not isinstance(reply, Exception):
                self._refusals.end()
            on_reply(reply)

        self.send(command, answered)

    async def _open(self) -> None:
        pipe = await Pipe.open(self._url)
        try:
            async with asyncio.timeout(self._timeout_s):
                loads = (pipe.call("SCRIPT", "LOAD", script.source) for script in self._scripts)
                await asyncio.gather(*loads)
            await self._greeted(pipe)
        except TimeoutError:
            pipe.close()
            raise ConnectionGone("Redis does not answer in time") from None
        except TributaryError:
            pipe.close()
            raise
        self._pipe = pipe
        self._outage.end()

    async def _greeted(self, pipe: Pipe) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._greet(pipe)
        except TimeoutError:
            raise ConnectionGone("Redis does not answer in time") from None

    async def _lost(self) -> str:
        """Return when the connection is lost, or Redis does not answer in time: the reason."""
        loop = asyncio.get_running_loop()
        renewed_at_s = 0.0
        while self._pipe is not None and self._pipe.is_open:
            waiting_s = loop.time() - self._pipe.waiting_since_s
            if self._pipe.is_waiting and waiting_s > self._timeout_s:
                return f"Redis has not answered for {waiting_s:.1f} s"
            if self._is_suspect and loop.time() - renewed_at_s > _RENEW_S:
                renewed_at_s = loop.time()
                await self._renew()
            await asyncio.sleep(_CHECK_S)
        return "the connection to Redis was lost"

    async def _renew(self) -> None:
        """Change over to a new connection; the old one ends when nothing waits on it."""
        old, self._is_suspect = self._pipe, False
        try:
            await self._open()
        except TributaryError as error:
            logger.bind(action="renew", reason=str(error)).debug("there is no newer connection")
        else:
            if old is not None:
                old.retire(self._timeout_s)

    def _close(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None


def _ignored(_reply: Reply) -> None:
    """A script that fails to load shows itself when it is called."""
