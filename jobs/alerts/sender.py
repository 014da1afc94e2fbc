"""The process that delivers alerts: one per deployment has the lease and sends.

A transition is delivered at least once to each destination, with the same id, and in the order of
its partition: the position follows the delivery. A destination that fails delays itself only.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import time
from functools import partial
from typing import Any

from loguru import logger

from jobs.alerts import message
from jobs.alerts.destination import Destination, destinations
from jobs.alerts.log_reader import LogReader
from tributary import failpoints
from tributary.errors import TributaryError
from tributary.model import alert
from tributary.model.alert import Numbered
from tributary.settings import Settings
from tributary.store import keys, redis_client, scripts
from tributary.store.counts import Counts
from tributary.store.links import Links
from tributary.store.outage import Outage
from tributary.store.redis_client import failures

POLL_S = 0.05
LEASE_MS = 5_000
_RENEW_S = 1.5


class Sender:
    """Reads the logs and starts a delivery for each partition and destination that is behind."""

    def __init__(self, settings: Settings, links: Links, found: list[Destination]) -> None:
        self._log = LogReader(links, settings.partitions)
        self._client = redis_client.connect(settings)  # for the lease
        self._token = secrets.token_hex(16)
        self._destinations = {each.key: each for each in found}
        self._positions: list[dict[str, int]] = []  # by partition; empty: to be read
        self._running: dict[tuple[int, str], asyncio.Task[None]] = {}
        self._held_until_s = self._renew_at_s = 0.0  # monotonic clock
        self._outage = Outage("redis (alerts)")
        self._counts = Counts(keys.ALERT_DELIVERIES)
        for each in found:
            each.on_failure = partial(self._counts.add, f"failed {each.name}")

    async def run(self) -> None:
        """Deliver until cancelled; then the lease is released."""
        try:
            while True:
                try:
                    await self._tick()
                    self._outage.end()
                except TributaryError as error:
                    self._outage.begin(error)
                    self._stop()
                    await asyncio.sleep(0.5)
                await asyncio.sleep(POLL_S)
        finally:
            self._stop()
            self._counts.flush(self._client)
            with failures():
                scripts.run(self._client, scripts.release_lease(self._token, keys.ALERT_SENDER))

    async def _tick(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._renew_at_s:
            await asyncio.to_thread(self._hold_lease, now_s)
        if not self._is_active():
            self._stop()
            return
        if not self._positions:
            self._positions = await self._log.positions(list(self._destinations))
        logged = await self._log.logged()
        self._collect_errors()
        for partition, number in enumerate(logged):
            for key in self._destinations:
                is_behind = self._positions[partition][key] < number
                if is_behind and (partition, key) not in self._running:
                    task = asyncio.create_task(self._deliver(partition, self._destinations[key]))
                    self._running[partition, key] = task

    def _is_active(self) -> bool:
        return time.monotonic() < self._held_until_s

    def _hold_lease(self, now_s: float) -> None:
        self._renew_at_s = now_s + _RENEW_S
        command = scripts.hold_lease(self._token, lease_ms=LEASE_MS, key=keys.ALERT_SENDER)
        with failures():
            is_mine, _ = scripts.run(self._client, command)
            if is_mine:
                self._counts.flush(self._client)
        if is_mine and not self._is_active():
            self._publish_names()
            logger.bind(action="alerts_active").info("delivers alerts")
        self._held_until_s = now_s + LEASE_MS / 1000 if is_mine else 0.0

    def _publish_names(self) -> None:
        names: dict[Any, Any] = {key: each.name for key, each in self._destinations.items()}
        with failures():
            pipeline = self._client.pipeline()
            pipeline.delete(keys.ALERT_DESTINATIONS)
            if names:
                pipeline.hset(keys.ALERT_DESTINATIONS, mapping=names)
            pipeline.execute()

    async def _deliver(self, partition: int, destination: Destination) -> None:
        """Deliver what a partition has logged, in order, until nothing is left."""
        while self._is_active():
            after = self._positions[partition][destination.key]
            logged, found = await self._log.read(partition, after)
            trimmed = logged - alert.LOGGED_MAX - after
            if trimmed > 0:
                reason = f"{trimmed} transitions were trimmed before they were sent"
                await self._log.give_up(partition, destination.name, reason, None)
            if not found:
                # The last ones, if any, were deleted because their device was forgotten.
                if logged > after:
                    await self._advance(partition, destination, logged)
                return
            for numbered in found:
                if not self._is_active():
                    return
                await self._pass(partition, destination, numbered)

    async def _pass(self, partition: int, destination: Destination, numbered: Numbered) -> None:
        number, transition = numbered
        kind = message.kind(transition)
        if kind is not None and not await self._log.is_silenced(partition, transition):
            async with destination.slots:
                failed = await destination.deliver(transition)
            failpoints.reach("after_alert_sent")
            self._counts.add(f"{'given_up' if failed else 'delivered'} {destination.name}")
            if failed:
                await self._log.give_up(partition, destination.name, failed, transition)
                log = logger.bind(action="alert_given_up", destination=destination.name)
                log.bind(id=transition.id, reason=failed).error("alert given up")
        await self._advance(partition, destination, number)

    async def _advance(self, partition: int, destination: Destination, number: int) -> None:
        await self._log.advance(partition, destination.key, number)
        self._positions[partition][destination.key] = number

    def _collect_errors(self) -> None:
        """Remove deliveries that have ended.

        Raises:
            TributaryError: one ended because Redis did not reply.
        """
        ended = {place: task for place, task in self._running.items() if task.done()}
        for place in ended:
            del self._running[place]
        for task in ended.values():
            task.result()

    def _stop(self) -> None:
        """End every delivery; what may have been delivered is delivered again."""
        for task in self._running.values():
            task.cancel()
        self._running.clear()
        self._positions = []


def run(settings: Settings) -> None:
    """Deliver alerts until SIGTERM or SIGINT."""

    async def work() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        links = Links(settings, "redis (alerts)")
        await links.open()
        keeping = asyncio.create_task(links.keep())
        sending = asyncio.create_task(Sender(settings, links, destinations(settings)).run())
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(stop.wait()), sending, keeping]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    asyncio.run(work())
