"""The bytes that all connections of one process hold together, and who holds how much of them."""

from __future__ import annotations


class Budget:
    """So many bytes may be held; of what has not come completely, half as many.

    So clients that send slowly, or read no answers, take nothing away from those that do not.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.waiting_max_bytes = max_bytes // 2
        self.held_bytes = 0


class Share:
    """What one connection holds of a budget for one purpose."""

    __slots__ = ("_budget", "held_bytes")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.held_bytes = 0

    def hold(self, wanted_bytes: int) -> bool:
        """Hold so much from here on; False, and nothing is changed: there is no room."""
        return self._hold(wanted_bytes, self._budget.max_bytes)

    def hold_waiting(self, wanted_bytes: int) -> bool:
        """The same, of bytes that wait for others to come."""
        return self._hold(wanted_bytes, self._budget.waiting_max_bytes)

    def _hold(self, wanted_bytes: int, max_bytes: int) -> bool:
        more_bytes = wanted_bytes - self.held_bytes
        if more_bytes > 0 and self._budget.held_bytes + more_bytes > max_bytes:
            return False
        self._budget.held_bytes += more_bytes
        self.held_bytes = wanted_bytes
        return True
