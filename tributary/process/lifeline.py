"""How a child process learns that its parent is gone, from its first moment on.

Comparing `os.getppid()` does not do: a parent that dies between fork and the first look was
never seen. A pipe has no such gap: its end comes when the last process that holds the other
side is gone, however it went. Linux can also send a signal by itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)  # the last from gunicorn
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_TERM_EVERY_S = 1.0  # one may be lost while a process sets up its handlers
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


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """A context in which SIGTERM, SIGINT and SIGQUIT wait, for forking.

    A child that gets one between fork and exec, where it still has the handlers of its parent,
    would lose it. A parent that gets one before it has noted down its child would forget it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def release_signals() -> None:
    """In a child forked with signals held: take them again, and what came meanwhile ends it."""
    for number in _STOPPING:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)


def before_exec() -> Callable[[], None]:
    """What a child forked with signals held calls before exec; Linux signals it when we die.

    Linux ties the signal to the thread that forked: call it from the main thread.
    """
    parent = os.getpid()
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None

    def in_child() -> None:
        release_signals()
        # Until a child has its own handler: Python would print a traceback. Only `up` gets Ctrl-C.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the call above
            os.kill(os.getpid(), signal.SIGTERM)

    return in_child
