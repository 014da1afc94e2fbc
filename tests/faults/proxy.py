"""A proxy between our processes and Redis that loses what a network can lose.

It runs in a thread of its own and forwards bytes. What it can do to them, it is told from
outside: swallow the reply to a command after the server has executed it, reset a connection
before a command is forwarded or in the middle of a reply, delay, swallow everything without a
word in one direction or both, and cut.
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
_START_PATIENCE_S = 5.0


class Weather:
    """What a proxy does to the bytes it carries; links look at it for every chunk."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.is_cut = False  # connections are reset, new ones too
        self.dark: frozenset[str] = frozenset()  # directions that vanish: "up", "down"
        self.delay_ms: tuple[float, float] = (0.0, 0.0)  # mean and spread, each direction
        self.stall: tuple[float, float] = (0.0, 0.0)  # share of chunks, extra ms
        self.target = b""  # SHA1 of the script whose calls are hit
        self.share = 0.0  # of the target's calls that are hit
        self.hits: dict[str, int] = {}  # what is left to do, by kind of Hit
        self.done: dict[str, int] = {}  # what was done

    def strikes(self, kind: str) -> bool:
        """Whether a call of the target is hit now, in this way; it is counted."""
        if self.hits.get(kind, 0) <= 0 or self.random.random() >= self.share:
            return False
        self.hits[kind] -= 1
        self.done[kind] = self.done.get(kind, 0) + 1
        return True

    def pause_s(self) -> float:
        """How long the next chunk is held up."""
        mean_ms, spread_ms = self.delay_ms
        pause_ms = max(0.0, self.random.gauss(mean_ms, spread_ms)) if mean_ms else 0.0
        share, stall_ms = self.stall
        if share and self.random.random() < share:
            pause_ms += stall_ms
        return pause_ms / 1000


class Proxy:
    """Listens on a port of the loopback and forwards to the server behind a Redis URL."""

    def __init__(self, upstream_url: str, seed: int) -> None:
        self._upstream = urlsplit(upstream_url)
        self.weather = Weather(seed)
        self.links: set[Link] = set()
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._run(self._listen())
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    def hit(self, kind: str, target: str, times: int, share: float = 0.3) -> None:
        """Hit so many calls of a script, given by its SHA1, a share of those that pass.

        Kinds: "swallow" (executed, then reset without the reply), "hang" (executed, then
        silence), "unsent" (reset before it is forwarded), "torn" (reset amid the reply).
        """
        weather = self.weather
        weather.target, weather.share = target.encode(), share
        weather.hits[kind] = weather.hits.get(kind, 0) + times

    def pending_hits(self) -> int:
        """Hits that have not found their call yet."""
        return sum(self.weather.hits.values())

    def cut(self) -> None:
        """Reset every connection, and every new one."""
        self.weather.is_cut = True
        self._call(self._reset_all)

    def darken(self, *directions: str) -> None:
        """Let bytes vanish in these directions, on connections old and new."""
        self.weather.dark = frozenset(directions)

    def half_open(self) -> int:
        """Let the connections of this moment fall silent, not the next; how many there were."""
        return self._call(self._silence_all)

    def mend(self) -> None:
        """Fine weather again; connections from the dark are reset, as bytes of theirs are gone."""
        if self.weather.dark:
            self._call(self._reset_all)
        old = self.weather
        self.weather = Weather(old.random.randrange(1 << 32))
        self.weather.done = old.done

    def close(self) -> None:
        """Stop forwarding."""
        self._run(self._shut())
        self._call(self._loop.stop)
        self._thread.join(_START_PATIENCE_S)
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)

    async def _accept(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        if self.weather.is_cut:
            back.transport.abort()
            return
        try:
            if self._upstream.path and not self._upstream.hostname:
                far, on = await asyncio.open_unix_connection(self._upstream.path)
            else:
                far, on = await asyncio.open_connection(
                    self._upstream.hostname, self._upstream.port or 6379
                )
        except OSError:
            back.transport.abort()
            return
        link = Link(self, near, back, far, on)
        self.links.add(link)
        try:
            await link.carry()
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

    def _call(self, function: Callable[[], T]) -> T:
        """Run a function in the proxy's thread."""
        done: Future[T] = Future()
        if function == self._loop.stop:
            self._loop.call_soon_threadsafe(function)
            return None  # type: ignore[return-value]  # nobody is left to answer
        self._loop.call_soon_threadsafe(lambda: done.set_result(function()))
        return done.result(_START_PATIENCE_S)

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_START_PATIENCE_S)
