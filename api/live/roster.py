"""Who listens to which devices, by name or by page. No Redis in it; the time is an argument."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from api.live.event import Event
from api.live.listener import Listener
from api.live.subscription import Page
from api.live.watch import Watch
from tributary.settings import Settings
from tributary.store import keys

LINGER_MS = 30_000  # a client that comes back by then is sent only what has changed


class Sight(NamedTuple):
    """A page as somebody may see it: a token for some devices leaves out the others."""

    page: Page
    covers: Callable[[str], bool]


class Sheet:
    """A page that somebody listens to, and the devices that were on it at the last look."""

    def __init__(self) -> None:
        self.listeners: set[Listener] = set()
        self.devices: frozenset[str] = frozenset()
        self.looked_ms = 0
        self.as_of: list[bytes | None] | None = None


class Roster:
    """The devices to be read, and the listeners to be told."""

    def __init__(self, settings: Settings) -> None:
        self._stale_after_ms = settings.stale_after_ms
        self._watches: dict[str, Watch] = {}
        self._by_partition: list[set[str]] = [set() for _ in range(settings.partitions)]
        self._unread: set[str] = set()
        self.listeners: set[Listener] = set()
        self.sheets: dict[Sight, Sheet] = {}

    @property
    def devices(self) -> int:
        """How many devices are read."""
        return len(self._watches)

    def join(self, listener: Listener, now_ms: int) -> None:
        """Tell a listener what its devices read, as far as that is known."""
        self.listeners.add(listener)
        devices: Iterable[str] = listener.subscription.devices
        if (page := listener.subscription.page) is not None:
            sheet = self.sheets.setdefault(_sight(listener, page), Sheet())
            sheet.listeners.add(listener)
            devices = sheet.devices
        self._add(listener, devices, now_ms)

    def leave(self, listener: Listener, now_ms: int) -> None:
        """Tell a listener nothing more."""
        self.listeners.discard(listener)
        devices: Iterable[str] = listener.subscription.devices
        page = listener.subscription.page
        if page is not None and (sheet := self.sheets.get(sight := _sight(listener, page))):
            devices = sheet.devices
            sheet.listeners.discard(listener)
            if not sheet.listeners:
                del self.sheets[sight]
        self._remove(listener, devices, now_ms)

    def turn(self, sight: Sight, devices: frozenset[str], now_ms: int) -> None:
        """These devices are on a page now."""
        if (sheet := self.sheets.get(sight)) is None:
            return
        come, gone = devices - sheet.devices, sheet.devices - devices
        sheet.devices, sheet.looked_ms = devices, now_ms
        for listener in sheet.listeners:
            self._add(listener, come, now_ms)
            self._remove(listener, gone, now_ms)
            for device in gone:
                listener.forget(device)

    def to_read(self, moved: Iterable[int]) -> dict[int, list[str]]:
        """The devices to be read by partition: all where something moved, else the new ones."""
        wanted: dict[int, list[str]] = {}
        for device in self._unread:
            wanted.setdefault(self._partition(device), []).append(device)
        wanted.update({partition: list(self._by_partition[partition]) for partition in moved})
        return {partition: devices for partition, devices in wanted.items() if devices}

    def tell(self, latest: Mapping[str, bytes | None], now_ms: int) -> None:
        """Tell the listeners which of the devices that were read have changed."""
        self._unread.difference_update(latest)
        for device, value in latest.items():
            if (watch := self._watches.get(device)) is not None:
                is_first = not watch.has_been_read
                _tell(watch, watch.read(value, now_ms), is_first=is_first)

    def keep_up(self, now_ms: int) -> None:
        """Tell which devices have fallen silent, and let go of those nobody listens to."""
        for watch in list(self._watches.values()):
            _tell(watch, watch.grown_stale(now_ms))
            if watch.idle_since_ms is not None and now_ms - watch.idle_since_ms > LINGER_MS:
                del self._watches[watch.device]
                self._by_partition[self._partition(watch.device)].discard(watch.device)
                self._unread.discard(watch.device)

    def _add(self, listener: Listener, devices: Iterable[str], now_ms: int) -> None:
        known = []
        for device in devices:
            if not listener.may_hear(device):
                continue
            watch = self._watches.get(device)
            if watch is None:
                watch = self._watches[device] = Watch(device, self._stale_after_ms)
                self._by_partition[self._partition(device)].add(device)
                self._unread.add(device)
            watch.idle_since_ms = None
            watch.listeners.add(listener)
            if (event := watch.event(now_ms)) is not None:
                known.append(event)
        for event in sorted(known, key=lambda event: event.stamp):
            listener.greet(event)

    def _remove(self, listener: Listener, devices: Iterable[str], now_ms: int) -> None:
        for device in devices:
            if (watch := self._watches.get(device)) is not None:
                watch.listeners.discard(listener)
                if not watch.listeners:
                    watch.idle_since_ms = now_ms

    def _partition(self, device: str) -> int:
        return keys.partition_of(device, len(self._by_partition))


def _sight(listener: Listener, page: Page) -> Sight:
    return Sight(page, listener.may_hear)


def _tell(watch: Watch, event: Event | None, *, is_first: bool = False) -> None:
    if event is not None:
        for listener in watch.listeners:
            if is_first:  # no change that was seen: its client may have this already
                listener.greet(event)
            else:
                listener.hear(event)
