"""Where slots of a time span come from: the windows in Redis, or the history. Pure.

Windows contain every reading at or after a border that follows from the time alone; the history
contains every reading before it, as far as it reaches. So each reading comes from one of the two,
and how far the history lags behind decides only which ones are still missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tributary.model.catalogue import Keep
from tributary.model.window import Window

_DAY_MS = 86_400_000


class Kept(NamedTuple):
    """Slots of one width in the history, and how long they are kept; None: permanently."""

    slot_ms: int
    keep_ms: int | None

    def first_ms(self, now_ms: int) -> int:
        """Start of the oldest slot that is kept: whole days are, see `retention.prune`."""
        if self.keep_ms is None:
            return 0
        return max(0, now_ms - self.keep_ms) // _DAY_MS * _DAY_MS


class Part(NamedTuple):
    """Stored slots that begin in [begin_ms, end_ms), both multiples of `slot_ms`."""

    begin_ms: int
    end_ms: int
    slot_ms: int
    window: int | None  # index of the window; None: in the history


class Sources(NamedTuple):
    """The slots that exist at `now_ms`.

    `kept` is sorted by width, and each width divides the next; it is empty without a history.
    `windows` is empty for a series that Redis does not know. `keep` of the metric may rule out
    either.
    """

    now_ms: int
    windows: tuple[Window, ...]
    kept: tuple[Kept, ...]
    keep: Keep = "all"

    def parts(self, begin_ms: int, end_ms: int, slot_ms: int) -> list[Part] | None:
        """Parts that cover [begin_ms, end_ms), multiples of `slot_ms`, without overlap, by time.

        Each slot of `slot_ms` consists of whole stored slots. None if they are not kept.
        """
        window = self._window(slot_ms)
        if window is not None and window.begin_ms <= begin_ms:
            return [window._replace(begin_ms=begin_ms, end_ms=end_ms)]
        usable = [kept for kept in self.kept if slot_ms % kept.slot_ms == 0]
        if not usable:
            return None
        border_ms = end_ms
        if window is not None:
            whole_ms = math.lcm(window.slot_ms, usable[0].slot_ms)
            border_ms = min(end_ms, -(-window.begin_ms // whole_ms) * whole_ms)
        parts = list(self._history(usable, begin_ms, border_ms))
        if (parts[-1].end_ms if parts else begin_ms) < border_ms:
            return None
        if window is not None and border_ms < end_ms:
            parts.append(window._replace(begin_ms=border_ms, end_ms=end_ms))
        return parts

    def _window(self, slot_ms: int) -> Part | None:
        """The window that reaches back the furthest, of those whose slots divide `slot_ms`.

        Its first slot is the oldest that overlaps its length: see `query.window`.
        """
        found = [
            Part((self.now_ms // w.slot_ms - w.slots) * w.slot_ms, 0, w.slot_ms, number)
            for number, w in enumerate(self.windows)
            if slot_ms % w.slot_ms == 0
        ]
        return min(found, key=lambda part: (part.begin_ms, -part.slot_ms), default=None)

    def _history(self, usable: list[Kept], begin_ms: int, border_ms: int) -> Iterator[Part]:
        """The widest slots first; narrower ones fill in up to the border."""
        for kept in reversed(usable):
            end_ms = border_ms // kept.slot_ms * kept.slot_ms
            if kept.first_ms(self.now_ms) <= begin_ms < end_ms:
                yield Part(begin_ms, end_ms, kept.slot_ms, None)
                begin_ms = end_ms


def in_history(parts: Iterable[Part]) -> list[Part]:
    """The parts that the database has to answer."""
    return [part for part in parts if part.window is None]
