"""A limit on the bytes that all connections of one process hold together."""

from __future__ import annotations


class Budget:
    """At most `max_bytes` may be held; incomplete requests may hold half of that.

    So clients that send slowly, or do not read their responses, leave room for the others.
    """

    __slots__ = ("held_bytes", "incomplete_max_bytes", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.incomplete_max_bytes = max_bytes // 2
        self.held_bytes = 0


class Share:
    """The part of a budget that one connection holds for one purpose."""

    __slots__ = ("_budget", "held_bytes")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.held_bytes = 0

    def acquire(self, more_bytes: int) -> bool:
        """Hold `more_bytes` more; False if the budget is exhausted, and nothing changes."""
        budget = self._budget
        if budget.held_bytes + more_bytes > budget.max_bytes:
            return False
        budget.held_bytes += more_bytes
        self.held_bytes += more_bytes
        return True

    def release(self, bytes_: int) -> None:
        """Hold `bytes_` less."""
        self._budget.held_bytes -= bytes_
        self.held_bytes -= bytes_

    def resize(self, all_bytes: int) -> bool:
        """Hold `all_bytes` in total, of an incomplete request; False if there is no room."""
        more_bytes = all_bytes - self.held_bytes
        budget = self._budget
        if more_bytes > 0 and budget.held_bytes + more_bytes > budget.incomplete_max_bytes:
            return False
        budget.held_bytes += more_bytes
        self.held_bytes = all_bytes
        return True
