"""The bytes that all connections of one process hold together, and who holds how much of them."""

from __future__ import annotations


class Budget:
    """So many bytes may be held; by what has not come completely, half as many.

    So clients that send slowly, or read no answers, take nothing away from those that do not.
    """

    __slots__ = ("held_bytes", "max_bytes", "waiting_max_bytes")

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

    def take(self, more_bytes: int) -> bool:
        """Hold so much more; False, and nothing is changed: there is no room."""
        budget = self._budget
        if budget.held_bytes + more_bytes > budget.max_bytes:
            return False
        budget.held_bytes += more_bytes
        self.held_bytes += more_bytes
        return True

    def release(self, bytes_: int) -> None:
        """Hold so much less."""
        self._budget.held_bytes -= bytes_
        self.held_bytes -= bytes_

    def resize(self, all_bytes: int) -> bool:
        """Hold so much altogether, of what waits for more to come; False: there is no room."""
        more_bytes = all_bytes - self.held_bytes
        budget = self._budget
        if more_bytes > 0 and budget.held_bytes + more_bytes > budget.waiting_max_bytes:
            return False
        budget.held_bytes += more_bytes
        self.held_bytes = all_bytes
        return True
