"""SIGINT and SIGTERM for long-running commands that must clean up."""

from __future__ import annotations

import signal
from types import FrameType

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


def catch() -> None:
    """Raise KeyboardInterrupt on SIGINT and SIGTERM.

    Background jobs of scripts, nohup and some CI systems start a process with SIGINT ignored,
    so Python does not install its own handler.
    """
    for number in _NUMBERS:
        signal.signal(number, _interrupt)


def restore() -> None:
    """Terminate the process at the next SIGINT or SIGTERM."""
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_DFL)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
