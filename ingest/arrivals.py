"""Requests that have arrived: short ones are collected, and admitted together when they are sent.

Fast code: a loop over ten requests takes less time than ten separate admissions with the kernel's
work between them; docs/decisions/0004-the-lane.md has the figures.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ingest.admission import Admission
from ingest.doors.door import Door
from ingest.tick import Arrived, Tick
from tributary.http.lane.request import Request

_SHORT_BYTES = 1_024  # a longer body is admitted at once, so that it is freed earlier


class Arrivals:
    """The requests of a tick, in the order of their arrival.

    Args:
        admission: what every request must pass.
        tick: gets the readings of the usual requests.
        admit: admits any other request at a door, which arrived at a time in UTC milliseconds.
        takes_singles: whether a reading waits for nothing but its frame.
    """

    __slots__ = ("_admission", "_admit", "_arrived", "_takes_singles", "_tick")

    def __init__(
        self,
        admission: Admission,
        tick: Tick,
        admit: Callable[[Door, Request, int], None],
        *,
        takes_singles: bool,
    ) -> None:
        self._admission = admission
        self._tick = tick
        self._admit = admit
        self._takes_singles = takes_singles
        self._arrived: list[Arrived] = []

    def add(self, door: Door, request: Request) -> None:
        """Add a request; a long one is admitted now, behind those before it."""
        self._arrived.append((door, request))
        if len(request.body) > _SHORT_BYTES:
            self.admit()

    def admit(self) -> None:
        """Admit everything that has arrived; the time of arrival is now for all of it."""
        arrived, self._arrived = self._arrived, []
        now_ms = time.time_ns() // 1_000_000
        rules, add_single = self._admission.rules, self._tick.add_single
        free_with = self._admission.free_with() if self._takes_singles else None
        for each in arrived:
            door, request = each
            single = door.single
            if (
                single is not None
                and request.head.is_free_with is free_with is not None
                and len(request.body) <= _SHORT_BYTES  # else it is rather a batch
                and not request.query
            ):
                try:
                    found = single.parse(request.body, now_ms, rules)
                except Exception:  # raised again by `_admit`, and becomes the response
                    found = None
                if type(found) is tuple and found[2]:
                    add_single(each, found[0], found[1])
                    continue
            self._admit(door, request, now_ms)
