"""One aggregator process: its heartbeats, the partitions it owns, and the cycle."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import socket
import time
from collections.abc import Collection
from functools import partial

from loguru import logger

from aggregator.alerts.rules import Rules
from aggregator.cycle import Cycle
from aggregator.heartbeats import Heartbeats, Members
from aggregator.owned_rows import OwnedRows
from aggregator.tenure import Tenure
from aggregator.timings import Timings
from tributary.errors import ConnectionGone, Misconfigured, Superseded, TributaryError
from tributary.model import catalogue
from tributary.model.aggregate import Layout
from tributary.model.declared import Declared
from tributary.model.rows import Shape
from tributary.settings import Settings
from tributary.store import keys, scripts
from tributary.store.membership import MISSED_HEARTBEATS, owned
from tributary.store.outage import Outage
from tributary.store.redis_client import FORMAT, FORMAT_BEFORE
from tributary.store.topology import Nodes

_REPLY_TIMEOUT_S = 5.0
DEREGISTER_S = 3.0
_RETRY_S = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)


class Worker:
    """Heartbeats, the partitions assigned by them, and the cycle."""

    def __init__(self, settings: Settings) -> None:
        self.id = f"{socket.gethostname()[:40]}-{secrets.token_hex(8)}"
        self._settings = settings
        layout = Layout(settings.parsed_windows, settings.average_over)
        metrics = catalogue.load(settings.metrics_file)
        self._shape = Shape(layout, Declared(layout, metrics))
        self._rules = Rules(metrics.rules)
        self._cycle = Cycle(settings, self._shape, self._rules, metrics.kept_as("latest"))
        self._owners: dict[int, asyncio.Task[None]] = {}
        self._nodes = Nodes(settings.redis_url, settings.redis_timeout_ms)
        self._outage = Outage("redis")
        self._timings = Timings()
        self._is_format_raised = False
        self._members = Members({}, 0.0)
        self._silent_ms = MISSED_HEARTBEATS * settings.heartbeat_ms  # of a dead worker
        self._doubt_s = (MISSED_HEARTBEATS + 2) * settings.heartbeat_ms / 1000

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then hand over immediately.

        Raises:
            Exception: a bug in Tributary; the process should exit and be restarted.
        """
        logger.bind(action="aggregator_started", worker=self.id).info("aggregator started")
        heartbeats = Heartbeats(self.id, self._settings, self._receive, self._outage)
        tasks = [
            asyncio.create_task(heartbeats.run()),
            asyncio.create_task(self._cycle.run()),
            asyncio.create_task(self._timings.run(self._nodes)),
            asyncio.create_task(stop.wait()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (*tasks, *self._owners.values()):
                task.cancel()
            await asyncio.gather(*tasks, *self._owners.values(), return_exceptions=True)
            await self._deregister()
            logger.bind(action="aggregator_stopped", worker=self.id).info("aggregator stopped")

    async def _ended(self, workers: Collection[str]) -> set[str]:
        """Which of some aggregators have ended; it takes some heartbeats to find out.

        Not those in doubt, and not this one.
        """
        doubtful, ended = set(workers) - {self.id}, set[str]()
        began_s = time.monotonic()
        while doubtful and time.monotonic() < began_s + self._doubt_s:
            await asyncio.sleep(self._settings.heartbeat_ms / 2000)
            ages_ms, read_at_s = self._members
            if read_at_s <= began_s:
                continue
            ages = {worker: ages_ms.get(worker, self._silent_ms + 1) for worker in doubtful}
            ended |= {worker for worker, age_ms in ages.items() if age_ms > self._silent_ms}
            since_ms = (read_at_s - began_s) * 1000
            doubtful = {w for w in doubtful - ended if ages[w] >= since_ms}
        return ended

    def _receive(self, members: Members) -> None:
        """Own exactly the partitions assigned to this worker."""
        self._members = members
        self._assign({id_ for id_, age in members.ages_ms.items() if age <= self._silent_ms})

    def _assign(self, alive: set[str]) -> None:
        mine = owned(self.id, alive, self._settings.partitions)
        for partition in self._owners.keys() - mine:
            self._owners.pop(partition).cancel()
        for partition in mine - self._owners.keys():
            self._owners[partition] = asyncio.create_task(self._own(partition))
        for owner in self._owners.values():
            if owner.done():
                owner.result()

    async def _own(self, partition: int) -> None:
        """Own a partition until cancelled, one tenure after the other."""
        failures = 0
        while True:
            try:
                tenure = await self._run_tenure(partition)
                error = await tenure.reason()
                failures = 0 if tenure.has_committed else failures + 1
                if tenure.was_slow:
                    self._cycle.slow_down()
            except TributaryError as failure:
                error = failure
                failures += 1
            if isinstance(error, Misconfigured):
                raise error
            delay_s = _RETRY_S[min(failures, len(_RETRY_S) - 1)]
            if isinstance(error, Superseded):
                # At random, so that two workers do not end each other's tenures all the time.
                delay_s *= random.random()  # noqa: S311 (not a secret)
                log = logger.bind(action="superseded", partition=partition, reason=str(error))
                log.debug("tenure ended")
            else:
                self._outage.begin(error)
            await self._nodes.pause(delay_s)

    async def _run_tenure(self, partition: int) -> Tenure:
        """Run one tenure, from its connection to its end."""
        pipe = await self._nodes.open(keys.meta(partition))
        tenure = Tenure(
            partition,
            pipe,
            self.id,
            self._cycle.arrive,
            read_max_entries=self._settings.read_max_entries,
            rows=OwnedRows(partition, pipe, self._shape, self._rules),
            timings=self._timings,
        )
        try:
            async with asyncio.timeout(_REPLY_TIMEOUT_S + self._doubt_s):
                await self._raise_format()
                await tenure.begin(self._ended)
            self._outage.end()
            self._cycle.begin(tenure)
            watching = asyncio.create_task(self._cycle.watch(tenure))
            watching.add_done_callback(partial(_end_if_failed, tenure))
            try:
                await tenure.reason()
            finally:
                watching.cancel()
            if watching.done():
                watching.result()
        except TimeoutError:
            raise ConnectionGone(f"no reply from Redis in {_REPLY_TIMEOUT_S} s") from None
        finally:
            tenure.end(Superseded("released"))
            self._cycle.void(partition)
        return tenure

    async def _raise_format(self) -> None:
        """Keep older releases from starting, before anything is written that they cannot read."""
        if self._is_format_raised:
            return
        with contextlib.closing(await self._nodes.open(keys.CONFIG)) as pipe:
            await pipe.call(*scripts.raise_format(before=FORMAT_BEFORE, after=FORMAT))
        self._is_format_raised = True

    async def _deregister(self) -> None:
        """Remove the heartbeat, so that others need not wait until it is too old."""
        try:
            async with asyncio.timeout(DEREGISTER_S):
                with contextlib.closing(await self._nodes.open(keys.WORKERS)) as pipe:
                    await pipe.call("ZREM", keys.WORKERS, self.id)
        except (TributaryError, TimeoutError) as error:
            log = logger.bind(action="deregister_failed", reason=str(error) or "no reply")
            log.warning("could not deregister")


def _end_if_failed(tenure: Tenure, watching: asyncio.Task[None]) -> None:
    """End a tenure whose watch has a bug, so that the owner of the tenure raises it."""
    if not watching.cancelled() and watching.exception() is not None:
        tenure.end(Superseded("its watch for alerts failed"))
