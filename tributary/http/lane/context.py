"""What the connections of one process share: limits, budget, clock and prepared responses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tributary.http.lane.budget import Budget
from tributary.http.lane.responses import Responses
from tributary.settings import Settings


class Expiring(Protocol):
    """A connection, as the clock sees it."""

    deadline_s: float

    def expire(self) -> None:
        """Called once the deadline has passed."""


class Context:
    """The shared state of the connections of a process.

    Args:
        settings: the limits.
        close_streams: ends the responses that do not end by themselves.
    """

    def __init__(self, settings: Settings, close_streams: Callable[[], None]) -> None:
        self.close_streams = close_streams
        self.responses = Responses()
        self.connections: set[Expiring] = set()
        self.budget = Budget(settings.in_flight_max_bytes)
        self.body_max_bytes = settings.body_max_bytes
        self.connections_max = settings.connections_max
        self.idle_s = settings.idle_timeout_ms / 1000
        self.head_s = settings.head_timeout_ms / 1000
        self.body_s = settings.body_timeout_ms / 1000
        self.now_s = 0.0  # loop time of the last tick: deadlines need no better clock
        self.idle_deadline_s = 0.0  # of a connection that becomes idle now

    def tick(self, now_s: float) -> None:
        """Advance the clock and the date, and expire the connections past their deadline."""
        self.now_s = now_s
        self.idle_deadline_s = now_s + self.idle_s
        self.responses.tick()
        for connection in [c for c in self.connections if c.deadline_s < now_s]:
            connection.expire()
