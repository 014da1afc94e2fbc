"""One connection through the proxy: commands one way, replies the other, each told apart.

Both directions are parsed beside being forwarded, so that a reply can be matched with its
command: only then is it certain that a swallowed reply is that of a command that was executed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import hiredis

if TYPE_CHECKING:
    from faults.proxy import Proxy

_CHUNK_BYTES = 1 << 16


class Link:
    """A connection of one of our processes, and the one to the server behind it."""

    def __init__(
        self,
        proxy: Proxy,
        near: asyncio.StreamReader,
        back: asyncio.StreamWriter,
        far: asyncio.StreamReader,
        on: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._near, self._back, self._far, self._on = near, back, far, on
        self._commands, self._replies = hiredis.Reader(), hiredis.Reader()
        self._asked: deque[bool] = deque()  # for each command without reply: is it the target
        self.is_silent = False

    async def carry(self) -> None:
        """Forward until either end is gone."""
        ways = [asyncio.create_task(self._up()), asyncio.create_task(self._down())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self.reset()

    def reset(self) -> None:
        """End both connections at once, bytes under way included."""
        self._back.transport.abort()
        self._on.transport.abort()

    async def _up(self) -> None:
        while data := await _read(self._near):
            weather = self._proxy.weather
            if self.is_silent or "up" in weather.dark:
                continue
            aimed = [_aims_at(command, weather.target) for command in _parsed(self._commands, data)]
            if any(aimed) and weather.strikes("unsent"):
                return
            self._asked.extend(aimed)
            await _hold(weather.pause_s())
            self._on.write(data)
            await self._on.drain()

    async def _down(self) -> None:
        while data := await _read(self._far):
            weather = self._proxy.weather
            answered = [self._asked.popleft() for _ in _parsed(self._replies, data) if self._asked]
            if any(answered):
                if weather.strikes("swallow"):
                    return
                if weather.strikes("hang"):
                    self.is_silent = True
                if weather.strikes("torn"):
                    self._back.write(data[: len(data) // 2])
                    await self._back.drain()
                    return
            if self.is_silent or "down" in weather.dark:
                continue
            await _hold(weather.pause_s())
            self._back.write(data)
            await self._back.drain()


async def _read(reader: asyncio.StreamReader) -> bytes:
    """The next bytes; none at the end, however it came."""
    try:
        return await reader.read(_CHUNK_BYTES)
    except OSError:
        return b""


async def _hold(pause_s: float) -> None:
    if pause_s:
        await asyncio.sleep(pause_s)


def _parsed(reader: hiredis.Reader, data: bytes) -> list[Any]:
    """What is complete with these bytes."""
    reader.feed(data)
    found = []
    while (value := reader.gets()) is not False:
        found.append(value)
    return found


def _aims_at(command: Any, target: bytes) -> bool:
    """Whether a command calls the script that is aimed at."""
    return bool(
        target and isinstance(command, list) and command[:1] == [b"EVALSHA"] and target in command
    )
