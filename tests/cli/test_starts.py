"""Processes that tests fork are like those that users start, and each role starts without it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support import forking
from support.mosquitto import Mosquitto
from support.pipeline import environ
from support.processes import ROOT, Process, sigint_ignored

from tributary.settings import Settings

_PROBE = """
import json, os, signal, sys
print(json.dumps({
    "argv": sys.argv, "words": sys.orig_argv, "cwd": os.getcwd(), "environ": dict(os.environ),
    "files": sorted(int(n) for n in os.listdir("/proc/self/fd"))[:-1],
    "line": open("/proc/self/cmdline").read().rstrip("\\0").split("\\0"),
    "signals": {n: str(signal.getsignal(n)) for n in (2, 3, 10, 12, 13, 15, 17, 25)},
    "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "is_leader": [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()],
    "mask": os.umask(0), "main": __name__, "module": sys.modules["__main__"].__name__,
    "streams": [(s.name, s.encoding, s.errors, s.line_buffering, s.isatty())
                for s in (sys.stdin, sys.stdout, sys.stderr)],
    "stdin": sys.stdin.read(),
}))
"""
_ENDS = {
    "": 0,
    "raise SystemExit": 0,
    "raise SystemExit(7)": 7,
    "raise SystemExit('text')": 1,
    "1 / 0": 1,
    "raise KeyboardInterrupt": -signal.SIGINT,
    "import os; os.kill(os.getpid(), 9)": -signal.SIGKILL,
    "import atexit; atexit.register(print, 'at the end')": 0,
    "import threading; threading.Thread(target=print, args=('later',)).start()": 0,
}
_READY = {
    "ingest": "action=serving", "api": "action=serving", "aggregator": "action=aggregator_started",
    "jobs": "action=jobs_started", "mqtt": "action=subscribed",
}  # fmt: skip
POPENS = (forking.ForkedPopen, subprocess.Popen)
Run = Callable[..., Process]


def _outcome(popen: type[Any], *words: str, **options: Any) -> tuple[str, str, int]:
    command = [sys.executable, "-c", *words]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with popen(command, **pipes, text=True, cwd=ROOT, **options) as process:
        printed, problems = process.communicate("typed\n", 30)
    # The last line: a traceback has other frames above.
    return printed, "".join(problems.splitlines(keepends=True)[-1:]), process.returncode


@pytest.fixture
def passed() -> Iterator[int]:
    """A file descriptor for the process."""
    with socket.socket() as opened:
        yield opened.fileno()


@pytest.mark.parametrize(
    "options", [{}, {"start_new_session": True}, {"process_group": 0, "umask": 0o027}]
)
def test_a_forked_process_begins_like_a_started_one(passed: int, options: dict[str, Any]):
    variables = {**os.environ, "TRIBUTARY_PORT": "7", "A": "ä"}
    forked, started = (
        _outcome(popen, _PROBE, "x", "--y", env=variables, pass_fds=(passed,), **options)
        for popen in POPENS
    )
    assert json.loads(forked[0]) == json.loads(started[0])
    assert forked[1:] == started[1:] == ("", 0)


def test_a_forked_process_ignores_sigint_if_a_started_one_does():
    with sigint_ignored():
        forked, started = (json.loads(_outcome(popen, _PROBE)[0]) for popen in POPENS)
    assert forked["signals"] == started["signals"]
    assert forked["signals"]["2"] == str(signal.SIG_IGN)


@pytest.mark.parametrize("program", _ENDS)
def test_a_forked_process_ends_like_a_started_one(program: str):
    forked, started = (_outcome(popen, program) for popen in POPENS)
    assert forked == started
    assert forked[2] == _ENDS[program]


def test_variables_that_libraries_read_once_need_a_start():
    for name in ("PYTHONPATH", "TZ", "LD_LIBRARY_PATH"):
        found = forking.run([sys.executable, "-c", _PROBE], env={**os.environ, name: "/x"})
        assert json.loads(found.stdout)["environ"][name] == "/x"
        process = forking.ForkedPopen([sys.executable, "-c", ""], env={**os.environ, name: "/x"})
        assert (process.wait(30), process._is_forked) == (0, False)


@pytest.mark.parametrize("role", ["ingest", "api", "aggregator", "jobs", "mqtt"])
def test_each_role_starts_without_the_fork_server(
    run: Run, settings: Settings, tmp_path: Path, role: str
):
    broker = Mosquitto(tmp_path / "broker") if role == "mqtt" else None
    try:
        if broker is not None:
            settings = msgspec.structs.replace(settings, mqtt_broker=broker.url, mqtt_topic="#")
        port = ("--port", "0") if role in ("ingest", "api") else ()
        process = run(role, *port, environ=environ(settings), is_forked=False)
        process.wait_for(re.compile(_READY[role]))
        assert process.stop() == 0, process.text
    finally:
        if broker is not None:
            broker.kill()
