"""The last numbers that a process was acknowledged, reported to a server that has restarted.

A server may lose its newest writes when it or its machine dies, or when a replica takes over:
with `appendfsync everysec` Redis replies before it writes. Only the processes that got a reply
can detect it. So each keeps, per partition, the last numbers that append returned, and reports
them on a new connection before it appends there (see `lua/report_tail.lua`). If every such
process dies together with the server, the loss goes unnoticed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from loguru import logger
from redis.connection import Connection
from redis.exceptions import AskError, MovedError

from tributary.store import scripts
from tributary.store.pipe import Pipe, Reply, checked
from tributary.store.scripts import Command

_ELSEWHERE = ("MOVED", "ASK")  # the partition is on another node, and is reported there


class Tail:
    """The last numbers acknowledged, per partition, and which server acknowledged them.

    `numbers[partition]` is the last `[entry, reading]` that append returned; the code that
    appends keeps it up to date.
    """

    def __init__(self, partitions: int) -> None:
        self.numbers: list[list[int]] = [[0, 0]] * partitions
        self._runs = [""] * partitions

    def note(self, partition: int, numbers: list[int]) -> None:
        """Keep what append returned; for threads, whose replies may arrive out of order."""
        self.numbers[partition] = max(numbers, self.numbers[partition])

    async def report(self, pipe: Pipe, partitions: Iterable[int]) -> None:
        """Report to the server at the other end, unless it has not restarted since.

        Raises:
            TributaryError: it did not reply, or cannot accept writes now; report again before
                anything is appended.
        """
        run = _run_id(await pipe.call("INFO", "server"))
        unreported = self._unreported(run, partitions)
        replies = await asyncio.gather(*(pipe.request(*self._command(p, run)) for p in unreported))
        here = {
            partition: checked(reply)
            for partition, reply in zip(unreported, replies, strict=True)
            if not str(reply).startswith(_ELSEWHERE)
        }
        self._reported(run, here)

    def report_on(self, connection: Connection) -> None:
        """`report` on a connection of redis-py that is being opened.

        Raises:
            redis.RedisError: as `report`.
        """
        run = _run_id(_execute(connection, ("INFO", "server")))
        replies: dict[int, Any] = {}
        for partition in self._unreported(run, range(len(self._runs))):
            command = scripts.with_source(self._command(partition, run))
            try:
                replies[partition] = _execute(connection, command)
            except (MovedError, AskError):
                continue
        self._reported(run, replies)

    def _unreported(self, run: str, partitions: Iterable[int]) -> list[int]:
        return [partition for partition in partitions if self._runs[partition] != run]

    def _command(self, partition: int, run: str) -> Command:
        entries, readings = self.numbers[partition]
        by = self._runs[partition]
        return scripts.report_tail(
            partition, run=run, acknowledged_by=by, entries=entries, readings=readings
        )

    def _reported(self, run: str, replies: dict[int, Reply]) -> None:
        entries = readings = 0
        for partition, (*numbers, lost_entries, lost) in replies.items():
            self.numbers[partition] = numbers
            self._runs[partition] = run
            entries += lost_entries
            readings += lost
        if entries:
            logger.bind(action="tail_lost", entries=entries, readings=readings).error(
                "Redis restarted without readings that it had acknowledged; they count as lost"
            )


def _run_id(info: bytes | str) -> str:
    """The run id in an INFO: new with every start of a server, and different on every node."""
    text = info.decode() if isinstance(info, bytes) else info
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)["run_id"]


def _execute(connection: Connection, command: Command) -> Any:
    connection.send_command(*command)  # type: ignore[no-untyped-call]
    return connection.read_response()
