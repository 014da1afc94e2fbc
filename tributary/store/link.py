"""A connection that is kept open: while Redis is unavailable, commands fail at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import hiredis
from loguru import logger

from tributary.errors import ConnectionGone, TributaryError, Unavailable
from tributary.store.outage import Outage
from tributary.store.pipe import Pipe

_BACKOFF_S = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_POLL_INTERVAL_S = 0.05
_RECONNECT_INTERVAL_S = 1.0
_REJECTED_RETRY_S = 0.05  # the server is up, and may accept writes at any moment

Handshake = Callable[[Pipe], Awaitable[None]]  # completes before any other command is sent


class Link:
    """One connection to Redis, opened again whenever it is lost."""

    def __init__(self, url: str, timeout_ms: int, name: str, handshake: Handshake) -> None:
        self.pipe = Pipe()  # closed while there is no connection
        self._url = url
        self._timeout_s = timeout_ms / 1000
        self._handshake = handshake
        self._outage = Outage(name)
        self._rejections = Outage(f"{name}: writes")

    async def open(self) -> bool:
        """Open the connection if it is not open; return whether it is."""
        if self.pipe.is_open:
            return True
        try:
            self.pipe = await self._connected()
        except TributaryError as error:
            self._outage.begin(error)
            # A connection that is gone says nothing; the rejection of a server that is up does.
            is_rejection = isinstance(error, Unavailable) and not isinstance(error, ConnectionGone)
            self.pipe = Pipe(error if is_rejection else None)
            return False
        return True

    async def keep(self) -> None:
        """Open the connection, and open it again when it is lost, until cancelled."""
        failures = 0
        try:
            while True:
                if await self.open():
                    failures = 0
                    self._outage.begin(await self._lost())
                    self.pipe.close()
                    self.pipe = Pipe()
                is_rejected = not isinstance(self.pipe.closed_because, ConnectionGone)
                backoff_s = _BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)]
                await asyncio.sleep(_REJECTED_RETRY_S if is_rejected else backoff_s)
                failures += 1
        finally:
            self.pipe.close()

    async def repeat_handshake(self) -> None:
        """Run the handshake again: the server holds more than when the connection was opened.

        Raises:
            TributaryError: the server did not reply, or rejected it.
        """
        if self.pipe.is_open:
            await self._run_handshake(self.pipe)

    def end_outage(self) -> None:
        """Log that the outage has ended, if there is one."""
        self._outage.end()

    async def _connected(self) -> Pipe:
        pipe = await Pipe.open(self._url)
        if self._rejections.is_on:  # until a script succeeds; not by itself a reason to reconnect
            pipe.rejection = hiredis.ReplyError("rejected on an earlier connection")
        try:
            await self._run_handshake(pipe)
        except TributaryError:
            pipe.close()
            raise
        self._outage.end()
        return pipe

    async def _run_handshake(self, pipe: Pipe) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._handshake(pipe)
        except TimeoutError:
            raise ConnectionGone("Redis does not reply in time") from None

    async def _lost(self) -> str:
        """Return why the connection is lost: it is closed, or Redis does not reply in time."""
        loop = asyncio.get_running_loop()
        reconnected_at_s = 0.0
        while self.pipe.is_open:
            waiting_s = loop.time() - self.pipe.waiting_since_s
            if self.pipe.is_waiting and waiting_s > self._timeout_s:
                return f"Redis has not replied for {waiting_s:.1f} s"
            if self.pipe.rejection is None:
                self._rejections.end()
            else:
                self._rejections.begin(self.pipe.rejection)
            # A demoted master: a new connection to the same name may reach the new one.
            may_be_demoted = str(self.pipe.rejection).startswith("READONLY")
            if may_be_demoted and loop.time() - reconnected_at_s > _RECONNECT_INTERVAL_S:
                reconnected_at_s = loop.time()
                await self._reconnect()
            await asyncio.sleep(_POLL_INTERVAL_S)
        return "the connection to Redis was lost"

    async def _reconnect(self) -> None:
        """Switch to a new connection; the old one closes when nothing is pending on it."""
        old = self.pipe
        try:
            self.pipe = await self._connected()
        except TributaryError as error:
            logger.bind(action="reconnect", reason=str(error)).debug("cannot reconnect")
        else:
            old.retire(self._timeout_s)
