"""How a child process learns that its parent is gone, from its first moment on.

Comparing `os.getppid()` does not do: a parent that dies between fork and the first look was
never seen. A pipe has no such gap: its end comes when the last process that holds the other
side is gone, however it went. Linux can also send a signal by itself.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_TERM_EVERY_S = 1.0  # a SIGTERM may be lost while a process sets up its handlers
_KILL_AFTER_S = 12.0  # requests under way have ten seconds


class Lifeline:
    """A pipe whose far side only the parent holds; make it before the fork."""

    def __init__(self) -> None:
        self._near, self._far = os.pipe()

    def watch(self) -> None:
        """In a child: end this process when the parent ends."""
        os.close(self._far)
        threading.Thread(target=self._wait, name="lifeline", daemon=True).start()

    def _wait(self) -> None:
        os.read(self._near, 1)  # nobody writes: it returns when the far side is closed
        deadline_s = time.monotonic() + _KILL_AFTER_S
        while time.monotonic() < deadline_s:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(_TERM_EVERY_S)
        os.kill(os.getpid(), signal.SIGKILL)


def signal_on_parent_death() -> Callable[[], None] | None:
    """What a child calls between fork and exec to get SIGTERM when its parent dies.

    None where the system has no such signal. Linux ties it to the thread that forked: call it
    from the main thread.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the call above
            os.kill(os.getpid(), signal.SIGTERM)

    return in_child
