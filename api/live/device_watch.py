"""A device with listeners, as it was last read. Pure: time is an argument."""

from __future__ import annotations

from api import collect
from api.live import event
from api.live.event import Event, Stamp
from api.live.listener import Listener


class DeviceWatch:
    """The stored document of a device, and its listeners."""

    __slots__ = (
        "_latest", "_stale_after_ms", "_stamp",
        "device", "has_been_read", "listeners", "unused_since_ms",
    )  # fmt: skip

    def __init__(self, device: str, stale_after_ms: int) -> None:
        self.device = device
        self.listeners: set[Listener] = set()
        self.unused_since_ms: int | None = None
        self.has_been_read = False
        self._stale_after_ms = stale_after_ms
        self._latest: bytes | None = None
        self._stamp = Stamp(0, "")

    def update(self, latest: bytes | None, now_ms: int) -> Event | None:
        """Keep what was read; return the event if it has changed."""
        self.has_been_read = True
        if latest == self._latest:
            return None
        self._latest = latest
        return self._changed(now_ms)

    def check_stale(self, now_ms: int) -> Event | None:
        """Return the event if the device has become stale since it was read."""
        if self._latest is None or self._digest(now_ms) == self._stamp.digest:
            return None
        return self._changed(now_ms)

    def event(self, now_ms: int) -> Event | None:
        """The current value with its age now; None if the device has no document."""
        if self._latest is None:
            return None
        body, _ = collect.body_and_etag(self.device, self._latest, now_ms, self._stale_after_ms)
        return event.reading(self.device, self._stamp, body)

    def _changed(self, now_ms: int) -> Event | None:
        if self._latest is not None:
            self._stamp = Stamp(now_ms, self._digest(now_ms))
        return self.event(now_ms)

    def _digest(self, now_ms: int) -> str:
        assert self._latest is not None
        age_ms = now_ms - collect.recorded_at_ms(self.device, self._latest)
        return event.digest(self._latest, stale=age_ms > self._stale_after_ms)
