"""Start the processes under measurement, wait until they are ready, and always stop them."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from bench import machine

ROOT = Path(__file__).resolve().parents[1]
_READY = re.compile(r"tributary: ready on (http://\S+)")
_TIMEOUT_S = 30.0


class Deployment(NamedTuple):
    """A running `tributary up`."""

    url: str
    redis_url: str
    worker_pid: int  # of the HTTP worker


@contextlib.contextmanager
def process(
    command: list[str], log: Path, environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in the background with additional variables; its output goes to a file."""
    with log.open("wb") as output:
        running = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **(environ or {})}, stdout=output, stderr=output
        )
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(20)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


def wait_until_ready(
    is_ready: Callable[[], bool], running: subprocess.Popen[bytes], log: Path
) -> None:
    """Wait for a condition.

    Raises:
        SystemExit: the process exited or the wait timed out; with the end of the log.
    """
    deadline_s = time.monotonic() + _TIMEOUT_S
    while not is_ready():
        if running.poll() is not None or time.monotonic() > deadline_s:
            command = " ".join(str(word) for word in running.args)  # type: ignore[union-attr]
            output = log.read_text(errors="replace")[-2000:]
            raise SystemExit(f"bench: {command} did not start:\n{output}")
        time.sleep(0.02)


def free_port() -> int:
    """An unused port of the loopback address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def deployment(*options: str, environ: Mapping[str, str] | None = None) -> Iterator[Deployment]:
    """Run `tributary up` on an empty data directory."""
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        data, log = Path(folder) / "data", Path(folder) / "log"
        up = [sys.executable, "-m", "tributary", "up", "--port", "0", "--data-dir", str(data)]
        with process([*up, *options], log, environ) as running:
            wait_until_ready(lambda: bool(_READY.search(log.read_text())), running, log)
            match = _READY.search(log.read_text())
            assert match is not None
            family = machine.family(running.pid)
            webs = [pid for pid in family if b"\0web\0" in _command_line(pid)]
            redis_url = (data / "redis.url").read_text().strip()
            # The last process of gunicorn is its worker.
            yield Deployment(match[1], redis_url, webs[-1] if webs else running.pid)


def role_pid(name: str) -> int:
    """The first process of a role that this benchmark has started, directly or not."""
    word = f"\0{name}\0".encode()
    for pid in machine.family(os.getpid())[1:]:
        if word in _command_line(pid):
            return pid
    raise SystemExit(f"bench: no process of {name} is running")


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # exited, or a system without /proc
        return b""
