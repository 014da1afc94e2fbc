"""The hub of a process: reads Redis once a tick for all listeners, and tells them what changed.

A tick is one round trip that asks each partition whether anything was committed, and a second
one that reads, where something was, the devices somebody listens to. Without listeners there
are no ticks.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from loguru import logger

from api.live import event
from api.live.listener import Listener
from api.live.roster import Roster
from api.live.store import Store
from tributary.errors import TributaryError, Unavailable
from tributary.settings import Settings
from tributary.store.outage import Outage

TICK_S = 0.1  # so a device has at most ten events a second
HEARTBEAT_MS = 10_000
DEVICES_MAX = 20_000
_UPKEEP_MS = 1000
_PAGE_COST_MS = 20  # with many pages each is looked at less often
_OUTAGE_PAUSE_S = 0.5


def utc_ms() -> int:
    """Now."""
    return time.time_ns() // 1_000_000


class Hub:
    """All listeners of this process. `start` and `stop` it on the event loop that serves them."""

    def __init__(self, settings: Settings, now_ms: Callable[[], int] = utc_ms) -> None:
        self._settings = settings
        self._now_ms = now_ms
        self._roster = Roster(settings)
        self._epochs: list[bytes | None] = [None] * settings.partitions
        self._upkept_ms = 0
        self._wanted = asyncio.Event()
        self._stopping = asyncio.Event()
        self._outage = Outage("redis (live)")
        self._store: Store | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._roster.listeners)

    async def start(self) -> None:
        """Begin to tick; Redis may be away as yet."""
        self._store = Store(self._settings)
        self._task = asyncio.create_task(self._run(self._store), name="live")
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Let every listener go, and end."""
        if self._task is not None and self._store is not None:
            self.close_streams()
            # Not cancelled: redis-py loses sight of a connection when a call on it is.
            self._stopping.set()
            self._wanted.set()
            await asyncio.wait([self._task])
            await self._store.close()

    def join(self, listener: Listener) -> None:
        """Tell a listener what its devices read, and from now on what changes.

        Raises:
            Unavailable: too many listen already, or the hub does not run.
        """
        if self._task is None or self._task.done() or self._stopping.is_set():
            raise Unavailable("live updates do not run in this process", retry_after_s=5)
        if self.listeners >= self._settings.live_listeners_max:
            raise Unavailable(
                f"{self.listeners} listeners are connected and no more are let in; "
                "raise live_listeners_max, or start another api process",
                retry_after_s=5,
            )
        if self._roster.devices + len(listener.subscription.devices) > DEVICES_MAX:
            raise Unavailable(f"{DEVICES_MAX} devices are listened to already", retry_after_s=5)
        self._roster.join(listener, self._now_ms())
        self._wanted.set()

    def leave(self, listener: Listener) -> None:
        """Tell a listener nothing more."""
        self._roster.leave(listener, self._now_ms())

    async def _run(self, store: Store) -> None:
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            await self._wanted.wait()
            next_s = loop.time() + TICK_S
            self._keep_up(self._now_ms())
            try:
                await self._tick(store)
            except TributaryError as error:
                self._outage.begin(error)
                next_s += _OUTAGE_PAUSE_S
            else:
                self._outage.end()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(next_s):
                    await self._stopping.wait()

    async def _tick(self, store: Store) -> None:
        epochs = await store.epochs()
        await self._look_at_pages(store, epochs)
        moved = [p for p, epoch in enumerate(epochs) if epoch != self._epochs[p]]
        latest = await store.latest(self._roster.to_read(moved))
        self._epochs = epochs
        self._roster.tell(latest, self._now_ms())

    async def _look_at_pages(self, store: Store, epochs: list[bytes | None]) -> None:
        """Which devices are on the pages now: at once for a new one, then about once a second."""
        now_ms = self._now_ms()
        rest_ms = max(_UPKEEP_MS, _PAGE_COST_MS * len(self._roster.sheets))
        for sight, sheet in list(self._roster.sheets.items()):
            is_due = sheet.as_of is None or now_ms - sheet.looked_ms >= rest_ms
            if is_due and sheet.as_of != epochs and self._roster.devices < DEVICES_MAX:
                devices = await store.page(sight.page, sight.covers)
                self._roster.turn(sight, devices, self._now_ms())
                sheet.as_of = epochs

    def _keep_up(self, now_ms: int) -> None:
        """Once a second: what is due by the clock and not by a commit."""
        if now_ms - self._upkept_ms < _UPKEEP_MS:
            return
        self._upkept_ms = now_ms
        self._roster.keep_up(now_ms)
        for listener in list(self._roster.listeners):
            if not listener.may_stay():
                listener.end()
            elif listener.is_quiet_since(now_ms - HEARTBEAT_MS):
                listener.beat(event.heartbeat(now_ms), now_ms)
        if not self._roster.devices and not self._roster.listeners:
            self._wanted.clear()

    def close_streams(self) -> None:
        """End every connection now; their clients come back, here or elsewhere."""
        for listener in list(self._roster.listeners):
            listener.end()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.close_streams()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.bind(action="live_ended").opt(exception=error).critical("live updates ended")
