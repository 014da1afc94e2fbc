"""One listener: what it has yet to be sent, one event a device at most."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from api.live.event import Event, Stamp
from api.live.subscription import Subscription


def every_device(_device: str) -> bool:
    """A listener without a token may hear of any device."""
    return True


def for_ever() -> bool:
    """A listener without a token may stay."""
    return True


class Listener:
    """A mailbox in which a newer event of a device takes the place of the older.

    So a listener that reads slowly costs at most one event for each of its devices.

    Args:
        subscription: what it listens to.
        seen: the last event that its client has, or None.
        may_hear: whether its token is for a device.
        may_stay: whether its token still holds.
    """

    __slots__ = (
        "_beat", "_pending", "_seen", "_spoke_ms", "_wake",
        "has_ended", "may_hear", "may_stay", "subscription",
    )  # fmt: skip

    def __init__(
        self,
        subscription: Subscription,
        seen: Stamp | None = None,
        may_hear: Callable[[str], bool] = every_device,
        may_stay: Callable[[], bool] = for_ever,
    ) -> None:
        self.subscription = subscription
        self.may_hear = may_hear
        self.may_stay = may_stay
        self.has_ended = False
        self._seen = seen
        self._pending: dict[str, Event] = {}
        self._beat = b""
        self._spoke_ms = 0
        self._wake = asyncio.Event()

    def greet(self, event: Event) -> None:
        """What a device reads as it is joined, unless the client has that already."""
        if self._seen is None or not self._seen.covers(event.stamp):
            self.hear(event)

    def hear(self, event: Event) -> None:
        """A device has changed."""
        # Behind all others: an id then never covers an event that is sent after it.
        self._pending.pop(event.device, None)
        self._pending[event.device] = event
        self._spoke_ms = event.stamp.changed_ms
        self._wake.set()

    def forget(self, device: str) -> None:
        """The device is no longer listened to."""
        self._pending.pop(device, None)

    def is_quiet_since(self, then_ms: int) -> bool:
        """Whether nothing was sent after that moment."""
        return self._spoke_ms <= then_ms

    def beat(self, comment: bytes, now_ms: int) -> None:
        """Let the client know that the connection lives."""
        self._beat = comment
        self._spoke_ms = now_ms
        self._wake.set()

    def end(self) -> None:
        """Nothing more will come."""
        self.has_ended = True
        self._wake.set()

    async def take(self) -> bytes:
        """Wait until there is something to send; empty when it is over."""
        while not self.has_ended:
            await self._wake.wait()
            self._wake.clear()
            if not self.has_ended and (taken := self.drain()):
                return taken
        return b""

    def drain(self) -> bytes:
        """What there is to send now."""
        taken = b"".join([event.wire for event in self._pending.values()]) or self._beat
        self._pending.clear()
        self._beat = b""
        return taken
