"""Processes under measurement: started, waited for, and always stopped."""

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

from bench import machine

ROOT = Path(__file__).resolve().parents[1]
_READY = re.compile(r"tributary: ready on (http://\S+)")
_PATIENCE_S = 30.0


@contextlib.contextmanager
def process(
    command: list[str], log: Path, environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A command in the background, its output in a file, with these variables set as well."""
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


def wait_until_it_answers(
    answers: Callable[[], bool], running: subprocess.Popen[bytes], log: Path
) -> None:
    """Return when the process answers; SystemExit with its log when it has ended or is late."""
    deadline_s = time.monotonic() + _PATIENCE_S
    while not answers():
        if running.poll() is not None or time.monotonic() > deadline_s:
            command = " ".join(str(word) for word in running.args)  # type: ignore[union-attr]
            said = log.read_text(errors="replace")[-2000:]
            raise SystemExit(f"bench: {command} did not start:\n{said}")
        time.sleep(0.02)


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def site(listeners: int) -> Iterator[tuple[str, int]]:
    """`tributary up` with room for so many listeners: its URL, and the pid of its HTTP worker."""
    room = {"TRIBUTARY_LIVE_LISTENERS_MAX": str(listeners)}
    with _up(environ=room) as (up, url, _):
        family = machine.family(up.pid)
        webs = [pid for pid in family if b"\0web\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        yield url, webs[-1]  # of gunicorn's processes, the worker that its master has forked


@contextlib.contextmanager
def deployment(*options: str) -> Iterator[tuple[str, str]]:
    """`tributary up` on an empty data directory: its HTTP URL and its Redis URL."""
    with _up(*options) as (_, url, redis_url):
        yield url, redis_url


@contextlib.contextmanager
def _up(
    *options: str, environ: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], str, str]]:
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        data, log = Path(folder) / "data", Path(folder) / "log"
        up = [sys.executable, "-m", "tributary", "up", "--port", "0", "--data-dir", str(data)]
        with process([*up, *options], log, environ) as running:
            wait_until_it_answers(lambda: bool(_READY.search(log.read_text())), running, log)
            match = _READY.search(log.read_text())
            assert match is not None
            yield running, match[1], (data / "redis.url").read_text().strip()
