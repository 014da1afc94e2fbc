"""Jobs for tests. They write what they do to the folder in SAMPLE_JOBS; see `job_site.py`."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from jobs.registry import Job
from tributary.settings import Settings


def _folder() -> Path:
    return Path(os.environ["SAMPLE_JOBS"])


def write(line: str) -> None:
    """Append a line in one write, whatever process kills this one."""
    descriptor = os.open(_folder() / "lines", os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def note(settings: Settings, *arguments: object) -> str:
    """Write the arguments."""
    write(" ".join(["note", *map(str, arguments)]))
    return f"{settings.partitions} partitions"


def fail(_settings: Settings, times: int) -> None:
    """Raise an error the first times."""
    write("fail")
    attempt = (_folder() / "lines").read_text().splitlines().count("fail")
    if attempt <= times:
        raise ValueError(f"attempt {attempt} of {times} fails")


def wait(_settings: Settings) -> None:
    """Wait until the file `go` is there."""
    write(f"begin {os.getpid()}")
    while not (_folder() / "go").exists():
        threading.Event().wait(0.01)
    write("end")


class _Finalized:
    """Its finalizer takes longer than a job may after a signal to stop."""

    def __del__(self) -> None:
        write(f"begin {os.getpid()}")
        threading.Event().wait(60)


def finalize(_settings: Settings) -> None:
    """Run a long finalizer; then wait until the file `go` is there."""
    _Finalized()
    while not (_folder() / "go").exists():
        threading.Event().wait(0.01)
    write("end")


def due(_settings: Settings) -> list[tuple[int]]:
    """One job for each file with a number as its name."""
    return sorted((int(path.name),) for path in _folder().glob("[0-9]"))


JOBS = {
    job.name: job
    for job in (
        Job("note", note, result_s=60),
        Job("fail", fail, retries=2),
        Job("wait", wait),
        Job("finalize", finalize),
        Job("brief", wait, timeout_s=1, retries=0),
        Job("tick", note, every_s=1, due=due),
    )
}
