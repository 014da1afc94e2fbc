"""A device that somebody listens to, as it was last read. Pure: the time is an argument."""

from __future__ import annotations

from api import collect
from api.live import event
from api.live.event import Event, Stamp
from api.live.listener import Listener


class Watch:
    """What a device reads, and who wants to hear of it."""

    __slots__ = (
        "_latest", "_stale_after_ms", "_stamp",
        "device", "has_been_read", "idle_since_ms", "listeners",
    )  # fmt: skip

    def __init__(self, device: str, stale_after_ms: int) -> None:
        self.device = device
        self.listeners: set[Listener] = set()
        self.idle_since_ms: int | None = None
        self.has_been_read = False
        self._stale_after_ms = stale_after_ms
        self._latest: bytes | None = None
        self._stamp = Stamp(0, "")

    def read(self, latest: bytes | None, now_ms: int) -> Event | None:
        """Take what was read; the event if it is not what was read before."""
        self.has_been_read = True
        if latest == self._latest:
            return None
        self._latest = latest
        return self._changed(now_ms)

    def grown_stale(self, now_ms: int) -> Event | None:
        """The event if the device has fallen silent since it was read."""
        if self._latest is None or self._digest(now_ms) == self._stamp.digest:
            return None
        return self._changed(now_ms)

    def event(self, now_ms: int) -> Event | None:
        """What the device reads, with its age of now; None if nothing is known of it."""
        if self._latest is None:
            return None
        answer = collect.body(self.device, self._latest, now_ms, self._stale_after_ms)
        return event.reading(self.device, self._stamp, answer)

    def _changed(self, now_ms: int) -> Event | None:
        if self._latest is not None:
            self._stamp = Stamp(now_ms, self._digest(now_ms))
        return self.event(now_ms)

    def _digest(self, now_ms: int) -> str:
        assert self._latest is not None
        age_ms = now_ms - collect.recorded_at_ms(self.device, self._latest)
        return event.digest(self._latest, stale=age_ms > self._stale_after_ms)
