"""Heartbeats: an aggregator records that it is alive, and learns which others are.

They are sent by a thread of their own. If a turn sent them, a long step on a busy machine would
be taken for the end of the process; the next owner of its partitions would load everything
again, and an overloaded machine would have even more to do. A process whose event loop has not
run anything for `STUCK_S` sends none.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from tributary.errors import ConnectionGone, Misconfigured, TributaryError
from tributary.settings import Settings
from tributary.store import keys, scripts
from tributary.store.outage import Outage
from tributary.store.pipe import Pipe
from tributary.store.topology import Nodes

FORGET_WORKER_MS = 60_000
STUCK_S = 10.0
_REPLY_TIMEOUT_S = 5.0
_END_TIMEOUT_S = 1.0


class Members(NamedTuple):
    """The workers that have sent heartbeats."""

    ages_ms: dict[str, int]  # since the last heartbeat of each, by the clock of the server
    read_at_s: float  # monotonic


class Heartbeats:
    """The heartbeats of one worker; members and errors are passed to its event loop."""

    def __init__(
        self, worker: str, settings: Settings, on_members: Callable[[Members], None], outage: Outage
    ) -> None:
        """`on_members`: called in the loop of `run` with the reply to each heartbeat."""
        self._worker = worker
        self._settings = settings
        self._interval_s = settings.heartbeat_ms / 1000
        self._on_members = on_members
        self._outage = outage
        self._passed_at_s: float | None = None  # members that the loop has not received yet
        self._loop: asyncio.AbstractEventLoop
        self._ended: asyncio.Future[None]
        self._stop: Callable[[], None] = lambda: None
        self._is_stopping = False

    async def run(self) -> None:
        """Send heartbeats until cancelled.

        Raises:
            Misconfigured: the URL of Redis cannot be used.
            Exception: what `on_members` raised.
        """
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        threading.Thread(target=self._run, name="heartbeats", daemon=True).start()
        try:
            await asyncio.shield(self._ended)
        finally:
            self._is_stopping = True
            self._stop()
            await asyncio.wait([self._ended], timeout=_END_TIMEOUT_S)

    def _run(self) -> None:
        """Send heartbeats (called by the thread)."""
        try:
            asyncio.run(self._send())
        except asyncio.CancelledError:
            self._pass(self._end, None)
        except BaseException as error:
            self._pass(self._end, error)

    async def _send(self) -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        self._stop = lambda: _quietly(loop.call_soon_threadsafe, task.cancel)
        nodes = Nodes(self._settings.redis_url, self._settings.redis_timeout_ms)
        while not self._is_stopping:
            try:
                with contextlib.closing(await nodes.open(keys.WORKERS)) as pipe:
                    while True:
                        if not self._is_stuck():
                            members = await self._beat(pipe)
                            self._passed_at_s = self._passed_at_s or members.read_at_s
                            self._pass(self._receive, members)
                        await asyncio.sleep(self._interval_s)
            except Misconfigured:
                raise
            except TributaryError as error:
                self._pass(self._outage.begin, error)
                await nodes.pause(self._interval_s)

    async def _beat(self, pipe: Pipe) -> Members:
        try:
            async with asyncio.timeout(_REPLY_TIMEOUT_S):
                command = scripts.heartbeat(self._worker, forget_after_ms=FORGET_WORKER_MS)
                reply = await pipe.call(*command)
        except TimeoutError:
            raise ConnectionGone(f"no reply to a heartbeat in {_REPLY_TIMEOUT_S} s") from None
        ages_ms = {
            id_.decode(): age_ms for id_, age_ms in zip(reply[::2], reply[1::2], strict=True)
        }
        return Members(ages_ms, time.monotonic())

    def _is_stuck(self) -> bool:
        passed_at_s = self._passed_at_s
        return passed_at_s is not None and time.monotonic() - passed_at_s > STUCK_S

    def _receive(self, members: Members) -> None:
        self._passed_at_s = None
        try:
            self._on_members(members)
        except Exception as error:
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        if self._ended.done():
            return
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)

    def _pass(self, call: Callable[..., object], *arguments: Any) -> None:
        """Call in the loop of `run`."""
        _quietly(self._loop.call_soon_threadsafe, call, *arguments)


def _quietly(call: Callable[..., object], *arguments: Any) -> None:
    """Call, unless its loop is closed."""
    with contextlib.suppress(RuntimeError):
        call(*arguments)
