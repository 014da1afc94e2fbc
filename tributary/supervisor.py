"""Child processes that live and die together.

All children are in one process group, whose leader is a guard: a shell that waits for the
end of a pipe only this process holds. However this process ends, kill -9 included, the guard
then sends SIGTERM to the whole group: no orphan stays.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from loguru import logger

_GUARD = "read -r _; kill -TERM 0"
_TERM_PATIENCE_S = 15.0
_RESTART_PAUSES_S = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
_STEADY_S = 30.0  # a child that has lived so long starts again without a pause


class Spec(NamedTuple):
    """How to start a child; children are stopped by rank, lowest first."""

    name: str
    command: Sequence[str]
    rank: int
    environ: Mapping[str, str] = {}
    pass_fds: tuple[int, ...] = ()


class _Child:
    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at_s = 0.0
        self.restart_at_s = 0.0
        self.failures = 0


class Supervisor:
    """Starts children, starts again those that die, and stops them in order."""

    def __init__(self) -> None:
        self._pipe_end, self._lifeline = os.pipe()
        self._guard = self._post_guard(group=0)
        self._group = self._guard.pid
        self._children: list[_Child] = []

    def start(self, spec: Spec) -> None:
        """Start a child."""
        child = _Child(spec)
        self._children.append(child)
        self._spawn(child)

    def watch(self) -> None:
        """Look after the children once; call it some times a second."""
        now_s = time.monotonic()
        if self._guard.poll() is not None:
            self._guard = self._post_guard(self._group)
        for child in self._children:
            if child.process is None:
                if now_s >= child.restart_at_s:
                    self._spawn(child)
            elif (status := child.process.poll()) is not None:
                self._bury(child, status, now_s)

    def stop(self) -> None:
        """SIGTERM to the children rank by rank, SIGKILL to those that do not obey in time."""
        for rank in sorted({child.spec.rank for child in self._children}):
            dying = [c for c in self._children if c.spec.rank == rank and c.process is not None]
            for child in dying:
                _signal(child, signal.SIGTERM)
            deadline_s = time.monotonic() + _TERM_PATIENCE_S
            for child in dying:
                self._wait(child, deadline_s)
        self._children.clear()
        self._guard.kill()
        self._guard.wait()
        os.close(self._lifeline)
        os.close(self._pipe_end)

    def _post_guard(self, group: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["/bin/sh", "-c", _GUARD], stdin=self._pipe_end, process_group=group
        )

    def _spawn(self, child: _Child) -> None:
        child.process = subprocess.Popen(
            child.spec.command,
            env={**os.environ, **child.spec.environ},
            pass_fds=child.spec.pass_fds,
            process_group=self._group,
            stdin=subprocess.DEVNULL,
        )
        child.started_at_s = time.monotonic()
        logger.bind(action="child_started", child=child.spec.name, pid=child.process.pid).debug(
            "child started"
        )

    def _bury(self, child: _Child, status: int, now_s: float) -> None:
        lived_s = now_s - child.started_at_s
        child.failures = 0 if lived_s > _STEADY_S else child.failures + 1
        pause_s = _RESTART_PAUSES_S[min(child.failures, len(_RESTART_PAUSES_S)) - 1]
        child.process, child.restart_at_s = None, now_s + pause_s
        logger.bind(
            action="child_died",
            child=child.spec.name,
            status=status,
            lived_s=round(lived_s, 1),
            restart_in_s=pause_s,
        ).error("child died, starting it again")

    def _wait(self, child: _Child, deadline_s: float) -> None:
        assert child.process is not None
        try:
            child.process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            logger.bind(action="child_killed", child=child.spec.name).error(
                "child did not stop in time, killed"
            )
            _signal(child, signal.SIGKILL)
            child.process.wait()


def _signal(child: _Child, number: signal.Signals) -> None:
    assert child.process is not None
    child.process.send_signal(number)
