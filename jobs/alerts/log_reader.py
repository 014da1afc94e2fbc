"""Reads the logged transitions of a partition, and writes how far they are delivered.

The position of a destination is in the slot of the log, so a failover that loses the end of the
log also sets it back: what follows is delivered, rather again than not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from tributary.model import alert
from tributary.model.alert import Numbered, Transition
from tributary.model.clock import utc_ms
from tributary.store import keys
from tributary.store.links import Links
from tributary.store.pipe import checked
from tributary.store.scripts import Command

READ_MAX = 100
UNDELIVERED_MAX = 1_000  # that a partition keeps


class LogReader:
    """The logs of all partitions. Every method raises `TributaryError` if Redis does not reply."""

    def __init__(self, links: Links, partitions: int) -> None:
        self._links = links
        self._partitions = range(partitions)

    async def logged(self) -> list[int]:
        """How many transitions each partition has logged."""
        commands = [(p, ("HGET", keys.meta(p), "transitions")) for p in self._partitions]
        return [int(number or 0) for number in await self._call(commands)]

    async def positions(self, destinations: Sequence[str]) -> list[dict[str, int]]:
        """By partition the position of each destination; a new one begins at the end of the log."""
        logged = await self.logged()
        commands = [
            (p, ("HSETNX", keys.delivered(p), key, str(number)))
            for p, number in enumerate(logged)
            for key in destinations
        ]
        await self._call(commands)
        read = [(p, ("HMGET", keys.delivered(p), *destinations)) for p in self._partitions]
        return [
            dict(zip(destinations, map(int, found), strict=True))
            for found in await self._call(read)
        ]

    async def read(self, partition: int, after: int) -> tuple[int, list[Numbered]]:
        """How many transitions were logged, and the first ones behind a number.

        Numbers that are missing are trimmed, or those of forgotten devices.
        """
        limited = ("+inf", "BYSCORE", "LIMIT", "0", str(READ_MAX), "WITHSCORES")
        command = ("ZRANGE", keys.transitions(partition), f"({after}", *limited)
        logged = ("HGET", keys.meta(partition), "transitions")
        last, found = await self._call([(partition, logged), (partition, command)])
        pairs = zip(found[::2], found[1::2], strict=True)
        parsed = [Numbered(int(number), alert.parse_transition(each)) for each, number in pairs]
        return int(last or 0), parsed

    async def is_silenced(self, partition: int, transition: Transition) -> bool:
        """Whether the rule is silenced for the device now."""
        field = keys.silence(transition.device, transition.metric, transition.rule)
        (until_ms,) = await self._call([(partition, ("HGET", keys.silences(partition), field))])
        return until_ms is not None and utc_ms() < int(until_ms)

    async def advance(self, partition: int, destination: str, number: int) -> None:
        """Store the position of a destination."""
        command = ("HSET", keys.delivered(partition), destination, str(number))
        await self._call([(partition, command)])

    async def give_up(
        self, partition: int, destination: str, reason: str, transition: Transition | None
    ) -> None:
        """Add a transition to those that were not delivered; None: it is gone from the log."""
        row = {
            "destination": destination, "reason": reason, "at_ms": utc_ms(), "transition": transition
        }  # fmt: skip
        key = keys.undelivered(partition)
        await self._call([
            (partition, ("LPUSH", key, msgspec.json.encode(row))),
            (partition, ("LTRIM", key, "0", str(UNDELIVERED_MAX - 1))),
        ])  # fmt: skip

    async def _call(self, commands: Iterable[tuple[int, Command]]) -> list[Any]:
        return list(map(checked, await self._links.call(commands)))
