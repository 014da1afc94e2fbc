"""Starts processes of Python by the fork server, with the interface of `subprocess.Popen`."""

from __future__ import annotations

import atexit
import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support import fork_child

_TIMEOUT_S = 60.0
_PROGRAM = Path(__file__).with_name("fork_server.py")
_ROOM_FOR_COMMAND_LINES = "-" * 4000  # see `fork_child._show`


class ForkServer:
    """The fork server of this process, started when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        self.read_once = fork_child.read_once(variables)
        number = theirs.fileno()
        self._process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), str(number), _ROOM_FOR_COMMAND_LINES],
            # Its threads would not exist in the forked processes.
            env={**variables, "OPENBLAS_NUM_THREADS": "1"},
            cwd=fork_child.ROOT,
            pass_fds=(number,),
        )
        theirs.close()
        atexit.register(self.close)

    def start(self, child: fork_child.Child) -> int:
        """Start a process; its pid.

        Raises:
            OSError: as `subprocess.Popen` does.
        """
        request = child._asdict()
        fds = request.pop("fds")
        answer = self._ask({**request, "targets": list(fds)}, list(fds.values()))
        if answer.get("errno"):
            raise OSError(answer["errno"], os.strerror(answer["errno"]))
        return int(answer["pid"])

    def poll(self, pid: int) -> int | None:
        """The wait status of a process that has ended, once; None while it runs."""
        status = self._ask({"poll": pid}, [])["status"]
        return None if status is None else int(status)

    def close(self) -> None:
        """End the server, but not the processes."""
        self._connection.close()
        self._process.wait()

    def _ask(self, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        with self._lock:
            socket.send_fds(self._connection, [json.dumps(request).encode()], fds)
            answer = self._connection.recv(1 << 10)
        if not answer:
            raise AssertionError("the fork server of the tests has ended; its output says why")
        return dict(json.loads(answer))


_server: ForkServer | None = None
_is_enabled = False
_start_lock = threading.Lock()


def enable() -> None:
    """Fork from now on; only tests do, and long runs start every process."""
    global _is_enabled
    _is_enabled = True


def _running() -> ForkServer:
    global _server
    with _start_lock:
        if _server is None:
            _server = ForkServer()
        return _server


class ForkedPopen(subprocess.Popen[Any]):
    """A process that the fork server forks, if it can be; others are started.

    Variables that libraries read when they are loaded, and another working directory, from which
    modules would be imported, need a start.
    """

    _is_forked = False

    def _execute_child(self, *arguments: Any) -> None:
        given = fork_child.arguments_of(self, arguments)
        environ = os.environ if given["env"] is None else given["env"]
        if (
            not _is_enabled
            or given["preexec_fn"] is not None
            or not fork_child.is_usual(given)
            or fork_child.read_once(environ) != _running().read_once
        ):
            super()._execute_child(*arguments)  # type: ignore[misc]
            return
        self.pid = _running().start(fork_child.child(given))
        self._is_forked = self._child_created = True
        names = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(given[name] for name in names))  # type: ignore[attr-defined]

    def _internal_poll(self, _deadstate: int | None = None, *arguments: Any) -> int | None:
        by = (self._wait_pid,) if self._is_forked else arguments
        return super()._internal_poll(_deadstate, *by)  # type: ignore[misc, no-any-return]

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if self._is_forked:
            return self._wait_pid(self.pid, wait_flags)
        return super()._try_wait(wait_flags)  # type: ignore[misc, no-any-return]

    @staticmethod
    def _wait_pid(pid: int, flags: int) -> tuple[int, int]:
        """Do what `os.waitpid` does for children of this process."""
        if not flags & os.WNOHANG:
            handle = os.pidfd_open(pid)
            select.select([handle], [], [])
            os.close(handle)
        status = _running().poll(pid)
        return (0, 0) if status is None else (pid, status)


def run(
    words: Sequence[object], *, stdin: str | bytes = "", text: bool = True, **popen: Any
) -> subprocess.CompletedProcess[Any]:
    """Run a command until it ends and collect its output, like `subprocess.run`."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [str(word) for word in words]
    with ForkedPopen(command, **pipes, text=text, **popen) as process:
        try:
            printed = process.communicate(stdin, _TIMEOUT_S)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, *printed)
