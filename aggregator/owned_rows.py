"""The rows of a partition: what is read of them, and how its owner numbers them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from aggregator.addresses import FREE_MAX, Addresses
from aggregator.alerts.rules import Rules
from aggregator.alerts.states import with_states
from tributary.errors import Superseded
from tributary.model.address import Address
from tributary.model.rows import Shape, StoredSeries
from tributary.store import keys, scripts
from tributary.store import series as stored_series
from tributary.store.pipe import Pipe, Reply, pack

# Aggregates, documents, and states of alerts: empty if no series has a rule.
Loaded = tuple[StoredSeries, list[bytes | None], list[bytes | None]]


class Page(NamedTuple):
    """Some series of a partition."""

    names: list[tuple[str, str]]  # device, metric
    addresses: list[Address]
    silent: list[bool]  # with rings, and without a reading since the time given


class OwnedRows:
    """The rows of one tenure, on its connection."""

    def __init__(
        self, partition: int, pipe: Pipe, shape: Shape, rules: Rules | None = None
    ) -> None:
        """`rules`: for alerts; None: there are none."""
        self.rules = rules or Rules()
        self.addresses = Addresses(partition, shape)
        self.series_in_format_2 = 0  # when the tenure began
        self.shape = shape
        self._partition = partition
        self._pipe = pipe

    async def begin(self, epoch: str) -> None:
        """Prepare the partition for rows, and read what is numbered and free.

        Raises:
            Superseded: the epoch is another one.
            TributaryError: the server did not reply, or rejected the command.
        """
        command = scripts.ensure_rows(self._partition, epoch=epoch, free_max=FREE_MAX)
        reply = await self._pipe.call(*command)
        if not reply:
            raise Superseded(f"partition {self._partition} has another owner")
        self.series_in_format_2, state_rows, ring_rows, short_rows, *free = reply
        numbered = state_rows, ring_rows, short_rows
        self.addresses = Addresses(self._partition, self.shape, numbered, free)

    async def load(
        self, series: list[tuple[str, str]], devices: list[str], *, has_removed: bool = False
    ) -> Loaded:
        """What is stored of series, by device and metric, the documents of devices, and alerts.

        `has_removed`: a rule of these series may have been removed.

        Raises:
            TributaryError: the server did not reply, or rejected the command.
            ValueError: the rows of a series are not two numbers.
        """
        command = stored_series.command(self.shape, self._partition, series, devices=devices)
        at = with_states(self.rules, series, is_forced=has_removed)
        reply, states = await asyncio.gather(self._pipe.call(*command), self._states(series, at))
        return stored_series.stored(self.shape, series, reply), reply[1], states

    async def _states(self, series: list[tuple[str, str]], at: list[int]) -> list[bytes | None]:
        """The states of the alerts of some of the series; empty if none are wanted."""
        if not at:
            return []
        names = (keys.series(*series[number]) for number in at)
        packed = await self._pipe.call("HMGET", keys.alerts(self._partition), *names)
        states: list[bytes | None] = [None] * len(series)
        for number, one in zip(at, packed, strict=True):
            states[number] = one
        return states

    async def scan(self, cursor: str, count: int, since_ms: int) -> tuple[str, Page]:
        """The next cursor, and about `count` series; those without a reading since are silent.

        Raises:
            TributaryError: the server did not reply, or rejected the command.
            ValueError: the rows of a series are not two numbers.
        """
        shape = self.shape
        command = scripts.scan_rows(
            self._partition, cursor=cursor, count=count, state_rows=shape.state_rows,
            cells=shape.cells, since_ms=since_ms,
        )  # fmt: skip
        following, found = await self._pipe.call(*command)
        parts = (name.decode().partition("|") for name in found[::3])
        names = [(device, metric) for device, _, metric in parts]
        return following.decode(), Page(
            names, [*map(Address.parse, found[1::3])], [*map(bool, found[2::3])]
        )

    async def names_in_format_2(self, count: int) -> list[str]:
        """Some series that are stored in format 2, each once.

        Raises:
            TributaryError: the server did not reply, or rejected the command.
        """
        found = await self._pipe.call("HRANDFIELD", keys.state(self._partition), str(count))
        return [name.decode() for name in found]

    def learn_free(self, on_error: Callable[[Reply], None]) -> None:
        """Read which rows the commits until now have left to others."""
        mark, found = self.addresses.mark(), []

        def learn(reply: Reply) -> None:
            if not isinstance(reply, list):
                on_error(reply)
                return
            found.append(reply)
            if len(found) == len(mark):
                self.addresses.learn(found, mark)

        for key in (keys.free, keys.free_rings, keys.free_short):
            command = ("LRANGE", key(self._partition), "0", str(FREE_MAX - 1))
            self._pipe.send(pack(command), learn)
