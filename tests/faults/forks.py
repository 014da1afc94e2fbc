"""A process that forks aggregators and senders of alerts, which have loaded their modules already.

It replies in a pipe of its own: its output is also that of the others, and with PYTHONUNBUFFERED
a line of theirs may come between a reply and the end of its line.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys

from support.pipeline import environ
from support.processes import ROOT, Process

from tributary.settings import Settings

_TIMEOUT_S = 60.0
_CODE = """
import os, signal, sys
from aggregator import role
from aggregator.worker import Worker
from jobs.alerts import sender
from tributary import failpoints, log, settings
import msgspec, uvloop
loaded = settings.load()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
replies = open(int(sys.argv[1]), "w", buffering=1)
print("ready", flush=True)
for line in sys.stdin:
    what, fail = line.rstrip("\\n").split(" ")
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log.configure(loaded, what)
        failpoints.arm(fail)
        (role.ROLE.run if what == "aggregator" else sender.run)(loaded)
        os._exit(0)
    print(pid, file=replies)
"""


class Forked:
    """A forked process. Its number may be used again once it has ended, a descriptor is not."""

    def __init__(self, pid: int) -> None:
        self._descriptor: int | None = None
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            self._descriptor = os.pidfd_open(pid)

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._descriptor is not None and not _is_readable(self._descriptor, 0)

    def kill(self) -> None:
        """Kill it and wait for its end."""
        if self._descriptor is None:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
        assert _is_readable(self._descriptor, _TIMEOUT_S), "a killed process has not ended"
        os.close(self._descriptor)
        self._descriptor = None


class Forks:
    """The process that forks; `close` it after all that it has forked have ended."""

    def __init__(self, settings: Settings) -> None:
        self._replies, sent = os.pipe()
        self.process = Process(
            [sys.executable, "-c", _CODE, str(sent)], environ(settings),
            cwd=ROOT, stdin=subprocess.PIPE, bufsize=1, pass_fds=(sent,),
        )  # fmt: skip
        os.close(sent)
        self.process.wait_for(re.compile("^ready$", re.MULTILINE))

    def fork(self, what: str, fail: str = "") -> Forked:
        """Start an `aggregator` or a `sender` that is killed at a failpoint, if one is given."""
        assert self.process.popen.stdin is not None
        self.process.popen.stdin.write(f"{what} {fail}\n")
        assert _is_readable(self._replies, _TIMEOUT_S), self.process.text[-2_000:]
        return Forked(int(os.read(self._replies, 32)))

    def close(self) -> None:
        """End it."""
        assert self.process.popen.stdin is not None
        self.process.popen.stdin.close()
        self.process.kill()
        os.close(self._replies)


def _is_readable(descriptor: int, timeout_s: float) -> bool:
    return bool(select.select([descriptor], [], [], timeout_s)[0])
