"""Lets few queries run at a time; the others wait a little."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator

from api.prometheus.bounds import WAIT_MAX_S
from tributary.auth.tokens import Token
from tributary.errors import Overloaded


class Gate:
    """At most `at_once_max` queries at a time in this process, half of that per token.

    A dashboard sends the queries of all its panels at once, so those beyond wait, but for at most
    `WAIT_MAX_S`: they occupy threads.
    """

    def __init__(self, at_once_max: int) -> None:
        self._at_once_max = at_once_max
        self._per_token_max = max(1, at_once_max // 2)
        self._running: Counter[str | None] = Counter()  # by token; None: in total
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def acquire(self, token: Token | None) -> Iterator[None]:
        """Count a query while it runs; `Overloaded` if it would have to wait too long."""
        counted = [None] if token is None else [None, token.id]
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_open(token), WAIT_MAX_S):
                raise Overloaded("too many concurrent queries")
            self._running.update(counted)
        try:
            yield
        finally:
            with self._changed:
                self._running.subtract(counted)
                self._running += Counter()  # keeps no zeros
                self._changed.notify_all()

    def _is_open(self, token: Token | None) -> bool:
        if self._running[None] >= self._at_once_max:
            return False
        return token is None or self._running[token.id] < self._per_token_max
