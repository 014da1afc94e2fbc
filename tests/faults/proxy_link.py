"""One connection through the proxy, parsed in both directions while it is forwarded.

Parsing pairs each reply with its command, so that dropping a reply is certain to follow the
execution of that command.
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
    """A client connection and the matching connection to the server."""

    def __init__(
        self,
        proxy: Proxy,
        client_reader: asyncio.StreamReader,
        client_writer: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._client_reader, self._client_writer = client_reader, client_writer
        self._server_reader, self._server_writer = server_reader, server_writer
        self._commands, self._replies = hiredis.Reader(), hiredis.Reader()
        self._pending: deque[bool] = deque()  # commands without reply: calls of the target?
        self.is_silent = False

    async def forward(self) -> None:
        """Forward until either side disconnects."""
        tasks = [
            asyncio.create_task(self._forward_commands()),
            asyncio.create_task(self._forward_replies()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.reset()

    def reset(self) -> None:
        """Abort both connections, discarding buffered bytes."""
        self._client_writer.transport.abort()
        self._server_writer.transport.abort()

    async def _forward_commands(self) -> None:
        while data := await _read(self._client_reader):
            conditions = self._proxy.conditions
            if self.is_silent or "to_server" in conditions.blackholed:
                continue
            targeted = [_calls(c, conditions.target) for c in _parse(self._commands, data)]
            if any(targeted) and conditions.should_inject("reset_before_send"):
                return
            self._pending.extend(targeted)
            await _delay(conditions.next_delay_s())
            self._server_writer.write(data)
            await self._server_writer.drain()

    async def _forward_replies(self) -> None:
        while data := await _read(self._server_reader):
            conditions = self._proxy.conditions
            targeted = [
                self._pending.popleft() for _ in _parse(self._replies, data) if self._pending
            ]
            if any(targeted):
                if conditions.should_inject("drop_reply"):
                    return
                if conditions.should_inject("hang"):
                    self.is_silent = True
                if conditions.should_inject("truncate_reply"):
                    self._client_writer.write(data[: len(data) // 2])
                    await self._client_writer.drain()
                    return
            if self.is_silent or "to_client" in conditions.blackholed:
                continue
            await _delay(conditions.next_delay_s())
            self._client_writer.write(data)
            await self._client_writer.drain()


async def _read(reader: asyncio.StreamReader) -> bytes:
    """The next bytes; empty at the end of the stream or after a reset."""
    try:
        return await reader.read(_CHUNK_BYTES)
    except OSError:
        return b""


async def _delay(delay_s: float) -> None:
    if delay_s:
        await asyncio.sleep(delay_s)


def _parse(reader: hiredis.Reader, data: bytes) -> list[Any]:
    """The values that these bytes complete."""
    reader.feed(data)
    values = []
    while (value := reader.gets()) is not False:
        values.append(value)
    return values


def _calls(command: Any, script: bytes) -> bool:
    """Whether a command is an EVALSHA of this script."""
    return bool(
        script and isinstance(command, list) and command[:1] == [b"EVALSHA"] and script in command
    )
