"""Watches the job that runs in the main thread of this process, from a second thread.

It renews the claim on the job, interrupts it when the process has to stop, and ends the process
when the job does not react. Python runs signal handlers between two steps of the main thread, so
a job inside a long call of a library does not see them; the byte that the interpreter writes for
each signal is seen at once.
https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd

What a handler raises while a finalizer runs is reported to `sys.unraisablehook` and dropped. Then
the second thread sends the signal again.
https://docs.python.org/3/library/sys.html#sys.unraisablehook
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from loguru import logger

GRACE_S = 3.0  # for the running job to finish after SIGTERM; then it is interrupted and requeued
KILL_AFTER_S = 4.5  # after SIGTERM
OVERDUE_S = 30.0  # after its timeout
RENEW_S = 5.0
_POLL_S = 0.2  # while stopping
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(BaseException):
    """This process has to stop, and what it does now can end at any point. Nothing catches this."""


class Interrupted(BaseException):
    """This process has to stop, and its job has had time to finish. No job catches this."""


class Watchdog:
    """The second thread, and the handlers of signals; create it in the main thread."""

    def __init__(self, renew: Callable[[], None]) -> None:
        self.is_stopping = False
        self._renew = renew  # called every `RENEW_S` while a job runs
        self._is_waiting = self._is_busy = self._is_interrupted = False
        self._deadline_s = 0.0  # of the job, monotonic clock
        self._signals, wakeup = os.pipe()
        os.set_blocking(wakeup, False)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        for number in _STOP_SIGNALS:
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGUSR1, self._on_interrupt)
        sys.unraisablehook = self._on_unraisable
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """While in it, a signal to stop raises `Stopped`."""
        self._is_waiting = True
        try:
            if self.is_stopping:
                raise Stopped
            yield
        finally:
            self._is_waiting = False

    @contextlib.contextmanager
    def busy(self, timeout_s: float) -> Iterator[None]:
        """While in it, a job runs: it raises `Interrupted` `GRACE_S` after a signal to stop."""
        self._deadline_s = time.monotonic() + timeout_s + OVERDUE_S
        self._is_busy, self._is_interrupted = True, False
        try:
            yield
        finally:
            self._is_busy = False

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.is_stopping = True
        self._stop_waiting()

    def _on_interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_waiting()
        if self._is_busy and not self._is_interrupted:
            self._is_interrupted = True
            raise Interrupted

    def _stop_waiting(self) -> None:
        if self._is_waiting:
            self._is_waiting = False
            raise Stopped

    def _on_unraisable(self, dropped: sys.UnraisableHookArgs) -> None:
        if dropped.exc_type is Interrupted:
            self._is_interrupted = False
        elif dropped.exc_type is Stopped:
            self._is_waiting = True
        else:
            sys.__unraisablehook__(dropped)

    def _watch(self) -> None:
        stopped_at_s = None
        renewed_at_s = time.monotonic()
        while True:
            timeout_s = RENEW_S if stopped_at_s is None else _POLL_S
            readable, _, _ = select.select([self._signals], [], [], timeout_s)
            now_s = time.monotonic()
            if readable and {*os.read(self._signals, 64)} & {*_STOP_SIGNALS}:
                stopped_at_s = now_s if stopped_at_s is None else stopped_at_s
            if stopped_at_s is not None and self._is_waiting:
                _interrupt()
            if not self._is_busy:
                continue
            if now_s - renewed_at_s >= RENEW_S:
                self._renew()
                renewed_at_s = now_s
            if now_s > self._deadline_s:
                _kill("the job has not ended after its timeout")
            if stopped_at_s is not None and now_s - stopped_at_s > KILL_AFTER_S:
                _kill("the job does not stop")
            if stopped_at_s is not None and now_s - stopped_at_s > GRACE_S:
                _interrupt()


def _interrupt() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)


def _kill(reason: str) -> None:
    """End this process; the job is retried by another one."""
    logger.bind(action="worker_killed", reason=reason).error("worker ends itself")
    os.kill(os.getpid(), signal.SIGKILL)
