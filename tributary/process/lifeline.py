"""Ends a child process when its parent exits, without a gap right after the fork.

Comparing `os.getppid()` with an earlier value fails if the parent exits before the first
comparison. A pipe reports end-of-file when the last process that holds the other end is gone,
however it ended. Linux can also send a signal.
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
_TERM_EVERY_S = 1.0  # one can be lost while a process installs its handlers
_KILL_AFTER_S = 12.0  # pending requests have ten seconds


class Lifeline:
    """A pipe whose write end only the parent holds; create it before the fork."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()

    def watch(self) -> None:
        """In a child: terminate this process when the parent exits."""
        os.close(self._write_end)
        threading.Thread(target=self._wait, name="lifeline", daemon=True).start()

    def _wait(self) -> None:
        os.read(self._read_end, 1)  # returns when the write end is closed: nothing is ever written
        deadline_s = time.monotonic() + _KILL_AFTER_S
        while time.monotonic() < deadline_s:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(_TERM_EVERY_S)
        os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Block SIGTERM, SIGINT and SIGQUIT while forking, or polling children.

    Between fork and exec, a child has the handlers of its parent and would lose the signal. A
    parent interrupted before it has stored the child process would not stop it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)  # may raise: handlers run in it
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def release_signals() -> None:
    """In a child forked with blocked signals: unblock them; pending ones terminate it."""
    for number in _STOPPING:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)


def before_exec() -> Callable[[], None]:
    """A function that a child forked with blocked signals calls before exec.

    It also makes Linux signal the child when its parent exits. Linux ties that to the thread
    that forks, so call this in the main thread.
    """
    parent = os.getpid()
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None

    def in_child() -> None:
        release_signals()
        # Until the child has its own handler, or Python prints a traceback. Only `up` gets Ctrl-C.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it exited before the call above
            os.kill(os.getpid(), signal.SIGTERM)

    return in_child
