"""Ctrl-C and SIGTERM for commands that run for a while and have something to finish."""

from __future__ import annotations

import signal
from types import FrameType

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


def catch() -> None:
    """Let SIGINT and SIGTERM raise KeyboardInterrupt.

    SIGINT, too: background jobs of scripts, nohup and some CI systems start us with it ignored.
    """
    for number in _NUMBERS:
        signal.signal(number, _interrupt)


def end_at_once() -> None:
    """Let the next SIGINT or SIGTERM end this process."""
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_DFL)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
