"""Memory of processes, from /proc."""

from __future__ import annotations

import re
from pathlib import Path

_PARENT = re.compile(r"^PPid:\s+(\d+)", re.MULTILINE)
_RESIDENT = re.compile(r"^VmRSS:\s+(\d+) kB", re.MULTILINE)
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)


def worker_of(pid: int) -> int:
    """The HTTP worker among the descendants of `tributary up`, `web`, `api` or `ingest`."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (status := _status(int(entry.name))):
            found = _PARENT.search(status)
            parents[int(entry.name)] = int(found[1]) if found else 0
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    roles = {member for member in family if {b"web", b"api", b"ingest"} & _words(member)}
    (worker,) = (member for member in roles if parents[member] in roles)
    return worker


def resident_bytes(pid: int) -> int:
    """Current resident memory."""
    return _read(pid, _RESIDENT)


def peak_bytes(pid: int) -> int:
    """Peak resident memory since the start, or since `forget_peak`."""
    return _read(pid, _PEAK)


def forget_peak(pid: int) -> None:
    """Reset the peak to the current value."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _read(pid: int, pattern: re.Pattern[str]) -> int:
    found = pattern.search(_status(pid))
    assert found, f"process {pid} is gone"
    return int(found[1]) * 1024


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""


def _words(pid: int) -> set[bytes]:
    try:
        return set(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"))
    except OSError:
        return set()
