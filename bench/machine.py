"""The machine: its description, the cores of server and load, and CPU and memory in use."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

SERVER_CORE = 0
LOAD_CORE = 1
_QUIET_LOAD = 0.7
_TICK_FIELDS = 8  # user nice system idle iowait irq softirq steal


def description() -> str:
    """CPU, cores, memory, kernel and Python version, in one line."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def load_warning() -> list[str]:
    """A warning if other programs are running at the start of a measurement."""
    load = os.getloadavg()[0]
    if load < _QUIET_LOAD:
        return []
    return [
        (
            f"**other programs were running (load average {load:.1f} at the start): rates and "
            "latencies of this run are unreliable, figures per CPU second less so**"
        )
    ]


def pin(core: int, command: list[str]) -> list[str]:
    """The command pinned to one core, if the machine supports it."""
    return ["taskset", "-c", str(core), *command] if can_pin() else command


def can_pin() -> bool:
    """Whether this machine can pin processes to cores."""
    has_both = max(SERVER_CORE, LOAD_CORE) < (os.cpu_count() or 1)
    return has_both and hasattr(os, "sched_setaffinity") and shutil.which("taskset") is not None


def version_of(package: str) -> str:
    """The version of an installed Debian package."""
    if shutil.which("dpkg-query") is None:
        return "not a Debian package"
    result = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", package],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return result.stdout.strip() or "not a Debian package"


class CoreUsage:
    """How busy a core is since this object was created."""

    def __init__(self, core: int) -> None:
        self._core = core
        self._before = _ticks(core)

    def share(self) -> float | None:
        """Busy time divided by total time, 0 … 1; None without /proc/stat."""
        now = _ticks(self._core)
        if now is None or self._before is None:
            return None
        spent = [after - before for after, before in zip(now, self._before, strict=True)]
        return 1 - (spent[3] + spent[4]) / (sum(spent) or 1)


def cpu_s(pid: int) -> float:
    """CPU time used by a process and its living descendants; 0 without /proc."""
    ticks = 0
    with contextlib.suppress(OSError):
        for member in family(pid):
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])  # user and system
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and all its descendants."""
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    return sum(
        int(Path(f"/proc/{member}/statm").read_text().split()[1]) * page_bytes
        for member in family(pid)
    )


def peak_bytes(pid: int) -> int:
    """The most memory that one process has had resident."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return 0


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # exited meanwhile
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    members = [pid]
    for member in members:  # grows during the iteration
        members += [child for child, parent in parents.items() if parent == member]
    return members


def _ticks(core: int) -> list[int] | None:
    try:
        text = Path("/proc/stat").read_text()
    except OSError:
        return None
    match = re.search(rf"^cpu{core} (.+)$", text, re.MULTILINE)
    return [int(word) for word in match[1].split()[:_TICK_FIELDS]] if match else None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        return platform.processor()
    return platform.processor() or platform.machine()
