"""A proxy between Tributary's processes and Redis that injects network faults.

It forwards bytes in a thread of its own. Tests control what it does to them: drop the reply to a
command that the server has executed, reset a connection before a command is forwarded or in the
middle of a reply, delay, discard everything in one or both directions, and refuse connections.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar
from urllib.parse import urlsplit

import uvloop

from faults.proxy_link import Link

T = TypeVar("T")
_CALL_TIMEOUT_S = 5.0


class Conditions:
    """What a proxy does to the bytes it forwards; links read it for every chunk."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.is_cut = False  # connections are reset, new ones too
        self.blackholed: frozenset[str] = frozenset()  # "to_server", "to_client": bytes discarded
        self.delay_ms: tuple[float, float] = (0.0, 0.0)  # mean and spread, each direction
        self.stall: tuple[float, float] = (0.0, 0.0)  # share of chunks, extra ms
        self.target = b""  # SHA1 of the script whose calls get faults
        self.share = 0.0  # of the calls of the target
        self.pending: dict[str, int] = {}  # faults left to inject, by kind
        self.injected: dict[str, int] = {}

    def should_inject(self, kind: str) -> bool:
        """Whether to inject this kind of fault into the current call of the target; counts it."""
        if self.pending.get(kind, 0) <= 0 or self.random.random() >= self.share:
            return False
        self.pending[kind] -= 1
        self.injected[kind] = self.injected.get(kind, 0) + 1
        return True

    def next_delay_s(self) -> float:
        """The delay of the next chunk."""
        mean_ms, spread_ms = self.delay_ms
        delay_ms = max(0.0, self.random.gauss(mean_ms, spread_ms)) if mean_ms else 0.0
        share, stall_ms = self.stall
        if share and self.random.random() < share:
            delay_ms += stall_ms
        return delay_ms / 1000


class Proxy:
    """Listens on a loopback port and forwards to the server behind a Redis URL."""

    def __init__(self, upstream_url: str, seed: int) -> None:
        self._upstream = urlsplit(upstream_url)
        self.conditions = Conditions(seed)
        self.links: set[Link] = set()
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._run(self._listen())
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    def inject(self, kind: str, target: str, times: int, share: float = 0.3) -> None:
        """Inject a fault into a share of the next calls of a script, until it occurred `times`.

        `target` is the SHA1 of the script. Kinds: "drop_reply" (executed, then reset), "hang"
        (executed, then silence), "reset_before_send", "truncate_reply" (reset within the reply).
        """
        conditions = self.conditions
        conditions.target, conditions.share = target.encode(), share
        conditions.pending[kind] = conditions.pending.get(kind, 0) + times

    def pending_injections(self) -> int:
        """Faults not yet injected."""
        return sum(self.conditions.pending.values())

    def cut(self) -> None:
        """Reset every connection, and every new one."""
        self.conditions.is_cut = True
        self._call(self._reset_all)

    def blackhole(self, *directions: str) -> None:
        """Discard all bytes in these directions, on existing and new connections."""
        self.conditions.blackholed = frozenset(directions)

    def half_open(self) -> int:
        """Silence the existing connections, but not new ones; returns how many there are."""
        return self._call(self._silence_all)

    def heal(self) -> None:
        """Forward normally again; connections that have lost bytes are reset."""
        if self.conditions.blackholed:
            self._call(self._reset_all)
        old = self.conditions
        self.conditions = Conditions(old.random.randrange(1 << 32))
        self.conditions.injected = old.injected

    def close(self) -> None:
        """Reset all connections and stop the thread."""
        self._run(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CALL_TIMEOUT_S)
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)

    async def _accept(
        self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter
    ) -> None:
        if self.conditions.is_cut:
            client_writer.transport.abort()
            return
        try:
            if self._upstream.path and not self._upstream.hostname:
                server = await asyncio.open_unix_connection(self._upstream.path)
            else:
                server = await asyncio.open_connection(
                    self._upstream.hostname, self._upstream.port or 6379
                )
        except OSError:
            client_writer.transport.abort()
            return
        link = Link(self, client_reader, client_writer, *server)
        self.links.add(link)
        try:
            await link.forward()
        finally:
            self.links.discard(link)

    def _reset_all(self) -> None:
        for link in list(self.links):
            link.reset()

    def _silence_all(self) -> int:
        for link in self.links:
            link.is_silent = True
        return len(self.links)

    async def _shut(self) -> None:
        self._server.close()
        self._reset_all()
        await self._server.wait_closed()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _call(self, function: Callable[[], T]) -> T:
        """Run a function in the proxy's thread."""
        done: Future[T] = Future()
        self._loop.call_soon_threadsafe(lambda: done.set_result(function()))
        return done.result(_CALL_TIMEOUT_S)

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_CALL_TIMEOUT_S)
