"""How often something may happen: the generic cell rate algorithm, per name. Pure.

A name may use up a burst of one second at once and is then let pass at its rate, with no
window whose edge could be used twice. One number is kept per name: when it would be at rest.
ITU-T I.371 (2004), "Traffic control and congestion control in B-ISDN", A.
"""

from __future__ import annotations

_NAMES_KEPT_MAX = 100_000
BURST_S = 1.0
_ROUNDING_S = 1e-5  # seconds since 1970 as a double are exact to some 2e-7


class Rate:
    """A limit of `per_s` events per second for each name; 0 is no limit."""

    def __init__(self, per_s: float, burst_s: float = BURST_S) -> None:
        self.per_s = per_s
        self._burst_s = burst_s
        self._rests_at_s: dict[str, float] = {}

    def wait_s(self, name: str, events: int, now_s: float) -> float:
        """Seconds until so many events may happen; 0 if they may now."""
        if self.per_s == 0:
            return 0.0
        # More events than a burst holds are let pass when nothing is used up.
        room_s = max(self._burst_s, events / self.per_s)
        wait_s = self._after_s(name, events, now_s) - now_s - room_s
        return wait_s if wait_s > _ROUNDING_S else 0.0

    def count(self, name: str, events: int, now_s: float) -> None:
        """They happen."""
        if self.per_s == 0:
            return
        if len(self._rests_at_s) >= _NAMES_KEPT_MAX:
            # Names at rest are as good as new ones.
            self._rests_at_s = {n: at for n, at in self._rests_at_s.items() if at > now_s}
            if len(self._rests_at_s) > _NAMES_KEPT_MAX // 2:  # those that have most to wait for
                busiest = sorted(self._rests_at_s.items(), key=lambda item: -item[1])
                self._rests_at_s = dict(busiest[: _NAMES_KEPT_MAX // 2])
        self._rests_at_s[name] = self._after_s(name, events, now_s)

    def refund(self, name: str, events: int) -> None:
        """Events that were counted have not happened."""
        if name in self._rests_at_s:
            self._rests_at_s[name] -= events / self.per_s

    def _after_s(self, name: str, events: int, now_s: float) -> float:
        return max(self._rests_at_s.get(name, 0.0), now_s) + events / self.per_s
