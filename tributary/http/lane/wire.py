"""The socket of a connection: when it is read, when it is given up, and how it ends."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tributary.http.lane.lane import Lane

_LINGER_S = 2.0


class Wire(asyncio.Protocol):
    """What `Connection` builds on; `deadline_s` is looked at once a second by the lane."""

    def __init__(self, lane: Lane) -> None:
        self.deadline_s = math.inf
        self._lane = lane
        self._transport: asyncio.Transport | None = None
        self._is_read_paused = False
        self._is_refused = False  # what else the client sends is not looked at

    def _pause_reading(self) -> None:
        if self._transport is not None and not self._is_read_paused:
            self._is_read_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._transport is not None and self._is_read_paused:
            self._is_read_paused = False
            self._transport.resume_reading()

    def _rest(self) -> None:
        """Nothing is under way, so the client has to send something some time."""
        self.deadline_s = self._lane.now_s + self._lane.limits.idle_s

    def _end(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._is_refused:
            # Closed at once, a client that is still sending would see a reset, and no answer.
            self._transport.write_eof()
            self.deadline_s = self._lane.now_s + _LINGER_S
        else:
            # Responses that nobody reads would keep it open for ever.
            self.deadline_s = self._lane.now_s + self._lane.limits.body_s
            self._transport.close()
