"""Processes under measurement: started, waited for, and always stopped."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_READY = re.compile(r"tributary: ready on (http://\S+)")
_PATIENCE_S = 30.0


@contextlib.contextmanager
def process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command in the background, its output in a file."""
    with log.open("wb") as output:
        running = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(20)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


@contextlib.contextmanager
def deployment(*options: str) -> Iterator[tuple[str, str]]:
    """`tributary up` on an empty data directory: its HTTP URL and its Redis URL."""
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        data, log = Path(folder) / "data", Path(folder) / "log"
        up = [sys.executable, "-m", "tributary", "up", "--port", "0", "--data-dir", str(data)]
        with process([*up, *options], log) as running:
            deadline_s = time.monotonic() + _PATIENCE_S
            while (match := _READY.search(log.read_text())) is None:
                if running.poll() is not None or time.monotonic() > deadline_s:
                    raise SystemExit(f"bench: tributary did not start:\n{log.read_text()}")
                time.sleep(0.05)
            yield match[1], (data / "redis.url").read_text().strip()
