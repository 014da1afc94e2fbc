"""The hub of a process: reads Redis once per tick for all listeners, and sends them the changes.

A tick is one round trip that reads the epoch of each partition, and, where it has changed, a
second one that reads the devices with listeners. Without listeners there are no ticks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from loguru import logger

from api.live import event
from api.live.listener import Listener
from api.live.reads import Reads
from api.live.roster import Roster
from tributary.errors import TributaryError, Unavailable
from tributary.model.clock import utc_ms
from tributary.settings import Settings
from tributary.store.links import Links
from tributary.store.outage import Outage

TICK_S = 0.1  # so a device has at most ten events per second
HEARTBEAT_MS = 10_000
DEVICES_MAX = 20_000
_MAINTENANCE_MS = 1000
_PAGE_COST_MS = 20  # with many pages each is read less often
_OUTAGE_PAUSE_S = 0.5


class Hub:
    """All listeners of this process. `start` and `stop` it on the event loop that serves them.

    Args:
        settings: of the process.
        links: the connections to read on; the caller keeps them open.
        now_ms: the clock, UTC.
    """

    def __init__(
        self, settings: Settings, links: Links, now_ms: Callable[[], int] = utc_ms
    ) -> None:
        self._settings = settings
        self._now_ms = now_ms
        self._reads = Reads(links, settings.partitions)
        self._roster = Roster(settings)
        self._epochs: list[bytes | None] = [None] * settings.partitions
        self._logged: list[int] = []  # transitions by partition; empty: not read yet
        self._maintained_ms = 0
        self._is_wanted = asyncio.Event()
        self._outage = Outage("redis (live)")
        self._task: asyncio.Task[None] | None = None

    @property
    def listeners(self) -> int:
        """How many listeners are connected."""
        return len(self._roster.listeners)

    async def start(self) -> None:
        """Start ticking; Redis need not be available yet."""
        self._task = asyncio.create_task(self._run(), name="live")
        self._task.add_done_callback(self._on_end)

    async def stop(self) -> None:
        """Close every stream and stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def join(self, listener: Listener) -> None:
        """Send a listener the current values of its devices, and their changes from now on.

        Raises:
            Unavailable: too many listeners are connected, or the hub is not running.
        """
        if self._task is None or self._task.done() or self._task.cancelling():
            raise Unavailable("live updates do not run in this process", retry_after_s=5)
        if self.listeners >= self._settings.live_listeners_max:
            raise Unavailable(
                f"{self.listeners} listeners are connected, the limit; "
                "raise live_listeners_max, or start another api process",
                retry_after_s=5,
            )
        if self._roster.devices + len(listener.subscription.devices) > DEVICES_MAX:
            raise Unavailable(f"{DEVICES_MAX} devices have listeners, the limit", retry_after_s=5)
        self._roster.join(listener, self._now_ms())
        self._is_wanted.set()

    def leave(self, listener: Listener) -> None:
        """Send a listener nothing more."""
        self._roster.leave(listener, self._now_ms())

    def close_streams(self) -> None:
        """Close every stream now; the clients reconnect, here or elsewhere."""
        for listener in list(self._roster.listeners):
            listener.close()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._is_wanted.wait()
            next_s = loop.time() + TICK_S
            self._maintain(self._now_ms())
            try:
                await self._tick()
            except TributaryError as error:
                self._outage.begin(error)
                next_s += _OUTAGE_PAUSE_S
            else:
                self._outage.end()
            await asyncio.sleep(next_s - loop.time())

    async def _tick(self) -> None:
        epochs, logged = await self._reads.heads()
        await self._read_pages(epochs)
        changed = [p for p, epoch in enumerate(epochs) if epoch != self._epochs[p]]
        latest = await self._reads.latest(self._roster.to_read(changed))
        self._epochs = epochs
        self._roster.publish(latest, self._now_ms())
        await self._read_transitions(logged)

    async def _read_transitions(self, logged: list[int]) -> None:
        """Send what alerts have logged since the last tick."""
        before = dict(enumerate(self._logged))
        after = {p: before[p] for p, now in enumerate(logged) if now > before.get(p, now)}
        if after:
            self._roster.publish_alerts(await self._reads.transitions(after), self._now_ms())
        self._logged = logged

    async def _read_pages(self, epochs: list[bytes | None]) -> None:
        """Update which devices are on the pages: of a new page now, then about once per second."""
        now_ms = self._now_ms()
        interval_ms = max(_MAINTENANCE_MS, _PAGE_COST_MS * len(self._roster.pages))
        for key, watch in list(self._roster.pages.items()):
            is_due = watch.as_of is None or now_ms - watch.read_ms >= interval_ms
            if is_due and watch.as_of != epochs and self._roster.devices < DEVICES_MAX:
                devices = await self._reads.page(key.page, key.covers)
                self._roster.update_page(key, devices, self._now_ms())
                watch.as_of = epochs

    def _maintain(self, now_ms: int) -> None:
        """Once per second, do what depends on the time and not on a commit."""
        if now_ms - self._maintained_ms < _MAINTENANCE_MS:
            return
        self._maintained_ms = now_ms
        self._roster.maintain(now_ms)
        for listener in list(self._roster.listeners):
            if not listener.is_allowed():
                listener.close()
            elif listener.is_idle_since(now_ms - HEARTBEAT_MS):
                listener.send_heartbeat(event.heartbeat(now_ms), now_ms)
        if not self._roster.devices and not self._roster.listeners:
            self._is_wanted.clear()
            self._logged = []  # what happens without listeners is sent to none

    def _on_end(self, task: asyncio.Task[None]) -> None:
        self.close_streams()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.bind(action="live_ended").opt(exception=error).critical("live updates ended")
