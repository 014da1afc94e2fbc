"""Rate limits by name: the generic cell rate algorithm. Pure.

A name may use a burst of one second at once, and is then limited to its rate; there is no window
at whose edge a client could send twice as much. The state of a name is one number: the time at
which its burst is available again.
ITU-T I.371 (2004), "Traffic control and congestion control in B-ISDN", A.
"""

from __future__ import annotations

_NAMES_MAX = 100_000
BURST_S = 1.0
_ROUNDING_S = 1e-5  # a double holds seconds since 1970 to about 2e-7


class Rate:
    """At most `per_s` events per second for each name; 0 for no limit."""

    def __init__(self, per_s: float, burst_s: float = BURST_S) -> None:
        self.per_s = per_s
        self._burst_s = burst_s
        self._available_at_s: dict[str, float] = {}

    def wait_s(self, name: str, events: int, now_s: float) -> float:
        """Seconds until `events` events are allowed; 0 if they are allowed now."""
        if self.per_s == 0:
            return 0.0
        # More events than a burst are allowed at once when the whole burst is available.
        room_s = max(self._burst_s, events / self.per_s)
        wait_s = self._after_s(name, events, now_s) - now_s - room_s
        return wait_s if wait_s > _ROUNDING_S else 0.0

    def count(self, name: str, events: int, now_s: float) -> None:
        """Count events that were allowed."""
        if self.per_s == 0:
            return
        if len(self._available_at_s) >= _NAMES_MAX:
            # Names with a full burst need no entry.
            self._available_at_s = {n: at for n, at in self._available_at_s.items() if at > now_s}
            if len(self._available_at_s) > _NAMES_MAX // 2:  # keep the longest waits
                busiest = sorted(self._available_at_s.items(), key=lambda item: -item[1])
                self._available_at_s = dict(busiest[: _NAMES_MAX // 2])
        self._available_at_s[name] = self._after_s(name, events, now_s)

    def refund(self, name: str, events: int) -> None:
        """Take back events that were counted and then failed."""
        if name in self._available_at_s:
            self._available_at_s[name] -= events / self.per_s

    def _after_s(self, name: str, events: int, now_s: float) -> float:
        return max(self._available_at_s.get(name, 0.0), now_s) + events / self.per_s
