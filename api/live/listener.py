"""One listener, and the events that wait to be sent to it: one reading per device, and alerts."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from api.live.event import Event, Stamp
from api.live.subscription import Subscription

ALERTS_MAX = 1_000  # that wait to be sent to a listener


def every_device(_device: str) -> bool:
    """What a listener without a token may read."""
    return True


class Listener:
    """A mailbox in which a newer event of a device replaces the older one.

    So a client that reads slowly costs at most one event for each of its devices.

    Args:
        subscription: what it listens to.
        seen: the last event that its client has, or None.
        covers: whether its token is for a device.
        is_allowed: whether its token is still valid.
    """

    __slots__ = (
        "_alerts", "_heartbeat", "_pending", "_seen", "_sent_ms", "_wake",
        "covers", "is_allowed", "is_closed", "subscription",
    )  # fmt: skip

    def __init__(
        self,
        subscription: Subscription,
        seen: Stamp | None,
        covers: Callable[[str], bool],
        is_allowed: Callable[[], bool],
    ) -> None:
        self.subscription = subscription
        self.covers = covers
        self.is_allowed = is_allowed
        self.is_closed = False
        self._seen = seen
        self._pending: dict[str, Event] = {}
        self._alerts: deque[bytes] = deque(maxlen=ALERTS_MAX)
        self._heartbeat = b""
        self._sent_ms = 0
        self._wake = asyncio.Event()

    def send_current(self, event: Event) -> None:
        """Send the current value of a device unless the client has it already."""
        if self._seen is None or not self._seen.covers(event.stamp):
            self.send(event)

    def send(self, event: Event) -> None:
        """Send a change of a device."""
        # Behind all others: an id then never covers an event that is sent after it.
        self._pending.pop(event.device, None)
        self._pending[event.device] = event
        self._sent_ms = event.stamp.changed_ms
        self._wake.set()

    def send_alert(self, wire: bytes, now_ms: int) -> None:
        """Send the transition of an alert; of more than `ALERTS_MAX`, the oldest are dropped."""
        self._alerts.append(wire)
        self._sent_ms = now_ms
        self._wake.set()

    def discard(self, device: str) -> None:
        """Drop the pending event of a device that is no longer on the page."""
        self._pending.pop(device, None)

    def is_idle_since(self, then_ms: int) -> bool:
        """Whether nothing was sent after that time."""
        return self._sent_ms <= then_ms

    def send_heartbeat(self, comment: bytes, now_ms: int) -> None:
        """Show the client that the connection is alive."""
        self._heartbeat = comment
        self._sent_ms = now_ms
        self._wake.set()

    def close(self) -> None:
        """Send nothing more."""
        self.is_closed = True
        self._wake.set()

    async def next_chunk(self) -> bytes:
        """Wait until there is something to send; empty once it is closed."""
        while not self.is_closed:
            await self._wake.wait()
            self._wake.clear()
            if not self.is_closed and (chunk := self.drain()):
                return chunk
        return b""

    def drain(self) -> bytes:
        """Take everything there is to send now."""
        events = [event.wire for event in self._pending.values()]
        chunk = b"".join([*events, *self._alerts]) or self._heartbeat
        self._pending.clear()
        self._alerts.clear()
        self._heartbeat = b""
        return chunk
