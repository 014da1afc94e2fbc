"""Which listeners listen to which devices, by name or by page. Pure: time is an argument."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from api.live import event as event_
from api.live.device_watch import DeviceWatch
from api.live.event import Event
from api.live.listener import Listener
from api.live.subscription import Page
from tributary.model.alert import Transition
from tributary.settings import Settings
from tributary.store import keys

LINGER_MS = 30_000  # a client that reconnects within this time gets only what has changed


class PageKey(NamedTuple):
    """A page as a token shows it: the devices that the token does not cover are left out."""

    page: Page
    covers: Callable[[str], bool]


class PageWatch:
    """A page with listeners, and the devices that were on it when it was last read."""

    def __init__(self) -> None:
        self.listeners: set[Listener] = set()
        self.devices: frozenset[str] = frozenset()
        self.read_ms = 0
        self.as_of: list[bytes | None] | None = None  # epochs


class Roster:
    """The devices to read, and their listeners."""

    def __init__(self, settings: Settings) -> None:
        self._stale_after_ms = settings.stale_after_ms
        self._watches: dict[str, DeviceWatch] = {}
        self._by_partition: list[set[str]] = [set() for _ in range(settings.partitions)]
        self._unread: set[str] = set()
        self.listeners: set[Listener] = set()
        self.pages: dict[PageKey, PageWatch] = {}

    @property
    def devices(self) -> int:
        """How many devices are watched."""
        return len(self._watches)

    def join(self, listener: Listener, now_ms: int) -> None:
        """Add a listener, and send it the current values that are in memory."""
        self.listeners.add(listener)
        devices: Iterable[str] = listener.subscription.devices
        if (page := listener.subscription.page) is not None:
            watch = self.pages.setdefault(PageKey(page, listener.covers), PageWatch())
            watch.listeners.add(listener)
            devices = watch.devices
        self._add(listener, devices, now_ms)

    def leave(self, listener: Listener, now_ms: int) -> None:
        """Remove a listener."""
        self.listeners.discard(listener)
        devices: Iterable[str] = listener.subscription.devices
        if (page := listener.subscription.page) is not None:
            key = PageKey(page, listener.covers)
            if (watch := self.pages.get(key)) is not None:
                devices = watch.devices
                watch.listeners.discard(listener)
                if not watch.listeners:
                    del self.pages[key]
        self._remove(listener, devices, now_ms)

    def update_page(self, key: PageKey, devices: frozenset[str], now_ms: int) -> None:
        """Set the devices that are on a page now."""
        if (watch := self.pages.get(key)) is None:
            return
        added, removed = devices - watch.devices, watch.devices - devices
        watch.devices, watch.read_ms = devices, now_ms
        for listener in watch.listeners:
            self._add(listener, added, now_ms)
            self._remove(listener, removed, now_ms)
            for device in removed:
                listener.discard(device)

    def to_read(self, changed: Iterable[int]) -> dict[int, list[str]]:
        """The devices to read, by partition: all of changed partitions, elsewhere the new ones."""
        wanted: dict[int, list[str]] = {}
        for device in self._unread:
            wanted.setdefault(self._partition(device), []).append(device)
        wanted.update({partition: list(self._by_partition[partition]) for partition in changed})
        return {partition: devices for partition, devices in wanted.items() if devices}

    def publish(self, latest: Mapping[str, bytes | None], now_ms: int) -> None:
        """Send the listeners which of the devices just read have changed."""
        self._unread.difference_update(latest)
        for device, value in latest.items():
            if (watch := self._watches.get(device)) is not None:
                is_first = not watch.has_been_read
                _send(watch, watch.update(value, now_ms), is_first=is_first)

    def publish_alerts(self, transitions: Iterable[Transition], now_ms: int) -> None:
        """Send the listeners the transitions of the alerts of their devices, or of all."""
        of_all = {each for each in self.listeners if each.subscription.has_all_alerts}
        for transition in transitions:
            watch = self._watches.get(transition.device)
            listeners = set() if watch is None else watch.listeners
            wire = event_.alert(transition) if listeners or of_all else b""
            for listener in listeners | of_all:
                if listener.covers(transition.device):
                    listener.send_alert(wire, now_ms)

    def maintain(self, now_ms: int) -> None:
        """Send which devices have become stale, and drop those without listeners."""
        for watch in list(self._watches.values()):
            _send(watch, watch.check_stale(now_ms))
            if watch.unused_since_ms is not None and now_ms - watch.unused_since_ms > LINGER_MS:
                del self._watches[watch.device]
                self._by_partition[self._partition(watch.device)].discard(watch.device)
                self._unread.discard(watch.device)

    def _add(self, listener: Listener, devices: Iterable[str], now_ms: int) -> None:
        current = []
        for device in devices:
            if not listener.covers(device):
                continue
            watch = self._watches.get(device)
            if watch is None:
                watch = self._watches[device] = DeviceWatch(device, self._stale_after_ms)
                self._by_partition[self._partition(device)].add(device)
                self._unread.add(device)
            watch.unused_since_ms = None
            watch.listeners.add(listener)
            if (event := watch.event(now_ms)) is not None:
                current.append(event)
        for event in sorted(current, key=lambda event: event.stamp):
            listener.send_current(event)

    def _remove(self, listener: Listener, devices: Iterable[str], now_ms: int) -> None:
        for device in devices:
            if (watch := self._watches.get(device)) is not None:
                watch.listeners.discard(listener)
                if not watch.listeners:
                    watch.unused_since_ms = now_ms

    def _partition(self, device: str) -> int:
        return keys.partition_of(device, len(self._by_partition))


def _send(watch: DeviceWatch, event: Event | None, *, is_first: bool = False) -> None:
    if event is not None:
        for listener in watch.listeners:
            if is_first:  # not an observed change: the client may have this already
                listener.send_current(event)
            else:
                listener.send(event)
