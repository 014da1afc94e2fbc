"""What a process was acknowledged last, reported to a server that has restarted.

A server may lose its newest writes when it or its machine dies, or when a replica takes over:
with `appendfsync everysec` Redis replies before it writes. Nobody but the processes that were
answered knows of them. So each keeps, per partition, the last numbers that append returned, and
reports them on a new connection before it appends there (see `lua/report_tail.lua`). If every
such process dies together with the server, nothing is left to compare, and the loss stays
unnoticed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from loguru import logger
from redis.connection import Connection
from redis.exceptions import AskError, MovedError

from tributary.store import keys
from tributary.store.pipe import Pipe, Reply, checked
from tributary.store.scripts import REPORT_TAIL

_ELSEWHERE = ("MOVED", "ASK")  # the partition is on another node: it is reported there


class Tail:
    """The last numbers acknowledged, per partition, and which server acknowledged them.

    `numbers[partition]` is the last `[entry, reading]` that append returned; whoever appends
    keeps it up to date.
    """

    def __init__(self, partitions: int) -> None:
        self.numbers: list[list[int]] = [[0, 0]] * partitions
        self._runs = [""] * partitions

    def note(self, partition: int, numbers: list[int]) -> None:
        """Keep what append returned; for threads, whose replies may come out of order."""
        self.numbers[partition] = max(numbers, self.numbers[partition])

    async def report(self, pipe: Pipe, partitions: Iterable[int]) -> None:
        """Report to the server at the other end; nothing if it is still the same one.

        Raises:
            TributaryError: it did not answer, or cannot take writes now; report again before
                anything is appended.
        """
        run = _run_id(await pipe.call("INFO", "server"))
        unreported = self._unreported(run, partitions)
        replies = await asyncio.gather(
            *(pipe.ask("EVALSHA", REPORT_TAIL.sha, *self._call(p, run)) for p in unreported)
        )
        self._settle(
            run,
            {
                partition: checked(reply)
                for partition, reply in zip(unreported, replies, strict=True)
                if not str(reply).startswith(_ELSEWHERE)
            },
        )

    def report_on(self, connection: Connection) -> None:
        """`report` on a connection of redis-py that is being opened.

        Raises:
            redis.RedisError: as `report`.
        """
        run = _run_id(_ask(connection, "INFO", "server"))
        replies: dict[int, Any] = {}
        for partition in self._unreported(run, range(len(self._runs))):
            call = self._call(partition, run)
            try:
                replies[partition] = _ask(connection, "EVAL", REPORT_TAIL.source, *call)
            except (MovedError, AskError):
                continue
        self._settle(run, replies)

    def _unreported(self, run: str, partitions: Iterable[int]) -> list[int]:
        return [partition for partition in partitions if self._runs[partition] != run]

    def _call(self, partition: int, run: str) -> tuple[str, ...]:
        entries, readings = self.numbers[partition]
        reporter = self._runs[partition]
        return ("1", keys.meta(partition), run, reporter, str(entries), str(readings))

    def _settle(self, run: str, replies: dict[int, Reply]) -> None:
        entries = readings = 0
        for partition, (*numbers, lost_entries, lost) in replies.items():
            self.numbers[partition] = numbers
            self._runs[partition] = run
            entries += lost_entries
            readings += lost
        if entries:
            logger.bind(action="tail_lost", entries=entries, readings=readings).error(
                "Redis came back without readings that it had acknowledged; they count as lost"
            )


def _run_id(info: bytes | str) -> str:
    """The run id in an INFO: new with every start of a server, and another on every node."""
    text = info.decode() if isinstance(info, bytes) else info
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return lines["run_id"]


def _ask(connection: Connection, *command: Any) -> Any:
    connection.send_command(*command)  # type: ignore[no-untyped-call]
    return connection.read_response()
