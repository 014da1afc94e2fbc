"""Starts child processes, restarts them, and stops them together.

All children are in one process group. Its leader is the guard: a shell that waits for the end
of a pipe that only this process holds. However this process ends, even by SIGKILL, the guard
then sends SIGTERM to the group, so no orphan remains. If the guard dies at the same moment,
Linux sends SIGTERM to each child.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from loguru import logger

from tributary.process import lifeline

_GUARD = "read -r _; kill -TERM 0"
_TERM_TIMEOUT_S = 15.0
_RESTART_PAUSES_S = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
_STEADY_S = 30.0  # a child that has run for this long is restarted immediately


class Spec(NamedTuple):
    """How to start a child; children are stopped in order of rank."""

    name: str
    command: Sequence[str]
    rank: int
    environ: Mapping[str, str] = {}
    pass_fds: tuple[int, ...] = ()
    umask: int = -1  # -1: that of the parent


class _Child:
    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at_s = 0.0
        self.restart_at_s = 0.0
        self.failures = 0
        self.last_status: int | None = None  # of the last exit; negative: a signal


class Supervisor:
    """Starts children, restarts those that exit, and stops them in order."""

    def __init__(self, *, term_timeout_s: float = _TERM_TIMEOUT_S) -> None:
        self._term_timeout_s = term_timeout_s
        self._before_exec = lifeline.before_exec()
        self._children: list[_Child] = []
        self._pipe_end, self._lifeline = os.pipe()
        with lifeline.signals_held():
            self._guard = self._start_guard(group=0)
            self._group = self._guard.pid

    def start(self, spec: Spec) -> None:
        """Start a child."""
        child = _Child(spec)
        self._children.append(child)
        self._spawn(child)

    def watch(self) -> None:
        """Restart the guard and the children that have exited; call it several times per second.

        A signal handler that raises during `poll` would leave its lock locked, and `stop` would
        wait for it forever, so signals are delivered afterwards.
        """
        now_s = time.monotonic()
        with lifeline.signals_held():
            self._ensure_guard()
            for child in self._children:
                if child.process is None:
                    if now_s >= child.restart_at_s:
                        self._spawn(child)
                elif (status := child.process.poll()) is not None:
                    self._on_exit(child, status, now_s)

    def exit_status(self, name: str) -> int | None:
        """The status of the last exit of a child, negative for a signal; None if it never exited."""
        return next((c.last_status for c in self._children if c.spec.name == name), None)

    def exited_with(self, status: int) -> list[str]:
        """The names of the children whose last exit had this status."""
        return [c.spec.name for c in self._children if c.last_status == status]

    def are_running(self) -> bool:
        """Whether no child waits to be restarted."""
        return all(child.process is not None for child in self._children)

    def stop(self) -> None:
        """Send SIGTERM to the children in order of rank, and SIGKILL after a timeout.

        Finally, send SIGKILL to the group: to the guard, and to processes that a child has left.
        """
        for rank in sorted({child.spec.rank for child in self._children}):
            stopping = [c for c in self._children if c.spec.rank == rank and c.process is not None]
            for child in stopping:
                _signal(child, signal.SIGTERM)
            deadline_s = time.monotonic() + self._term_timeout_s
            for child in stopping:
                self._wait(child, deadline_s)
        self._children.clear()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._group, signal.SIGKILL)
        self._guard.wait()
        os.close(self._lifeline)
        os.close(self._pipe_end)

    def _ensure_guard(self) -> None:
        """Replace a dead guard; if it was the last process of the group, create another group."""
        if self._guard.poll() is None:
            return
        try:
            self._guard = self._start_guard(self._group)
        except PermissionError:  # the group has no members, see setpgid(2)
            self._guard = self._start_guard(group=0)
            self._group = self._guard.pid

    def _start_guard(self, group: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["/bin/sh", "-c", _GUARD],
            stdin=self._pipe_end,
            process_group=group,
            preexec_fn=lifeline.release_signals,  # noqa: PLW1509  # as above
        )

    def _spawn(self, child: _Child) -> None:
        with lifeline.signals_held():
            try:
                child.process = self._popen(child.spec)
            except PermissionError:  # the guard has just died, and the group with it
                self._ensure_guard()
                child.process = self._popen(child.spec)
            child.started_at_s = time.monotonic()
        logger.bind(action="child_started", child=child.spec.name, pid=child.process.pid).debug(
            "child started"
        )

    def _popen(self, spec: Spec) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            spec.command,
            env={**os.environ, **spec.environ},
            pass_fds=spec.pass_fds,
            process_group=self._group,
            umask=spec.umask,
            stdin=subprocess.DEVNULL,
            preexec_fn=self._before_exec,  # noqa: PLW1509  # this process has one thread
        )

    def _on_exit(self, child: _Child, status: int, now_s: float) -> None:
        uptime_s = now_s - child.started_at_s
        child.failures = 0 if uptime_s > _STEADY_S else child.failures + 1
        pause_s = _RESTART_PAUSES_S[min(child.failures, len(_RESTART_PAUSES_S)) - 1]
        child.process, child.restart_at_s = None, now_s + pause_s
        child.last_status = status
        logger.bind(
            action="child_exited",
            child=child.spec.name,
            status=status,
            uptime_s=round(uptime_s, 1),
            restart_in_s=pause_s,
        ).error("child exited; restarting")

    def _wait(self, child: _Child, deadline_s: float) -> None:
        assert child.process is not None
        try:
            child.process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            logger.bind(action="child_killed", child=child.spec.name).error(
                "child did not stop in time; killed"
            )
            _signal(child, signal.SIGKILL)
            child.process.wait()


def _signal(child: _Child, number: signal.Signals) -> None:
    assert child.process is not None
    child.process.send_signal(number)
