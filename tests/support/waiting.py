"""Wait for a condition with a deadline, never for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
# Polls cost the processor time that others wait for: the pause grows with the time waited.
_PAUSE_S, _LONGEST_PAUSE_S, _SHARE = 0.005, 0.05, 0.1


def wait_until(condition: Callable[[], T], what: str, timeout_s: float = 60.0) -> T:
    """Poll until `condition` is true and return its value; `what` is for the failure message."""
    began_at_s = time.monotonic()
    while True:
        value = condition()
        if value:
            return value
        waited_s = time.monotonic() - began_at_s
        if waited_s > timeout_s:
            raise AssertionError(f"waited {timeout_s} s for {what}; last seen: {value!r}")
        time.sleep(min(max(_PAUSE_S, waited_s * _SHARE), _LONGEST_PAUSE_S))
