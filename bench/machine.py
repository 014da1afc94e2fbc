"""On what machine a figure was measured, which core does what, and how busy each was."""

from __future__ import annotations

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


def described() -> str:
    """Processor, cores, memory, kernel and Python, in one line."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def disturbance() -> list[str]:
    """A warning when other programs were running as the measurement began."""
    load = os.getloadavg()[0]
    if load < _QUIET_LOAD:
        return []
    return [
        (
            f"**the machine was not quiet: load average {load:.1f} at the beginning; rates and "
            "latencies of this run prove little, figures per CPU second somewhat more**"
        )
    ]


def pinned(core: int, command: list[str]) -> list[str]:
    """The command on one core, where the machine can do that."""
    return ["taskset", "-c", str(core), *command] if can_pin() else command


def can_pin() -> bool:
    """Whether processes can be kept on one core here."""
    has_both = max(SERVER_CORE, LOAD_CORE) < (os.cpu_count() or 1)
    return has_both and hasattr(os, "sched_setaffinity") and shutil.which("taskset") is not None


def version_of(package: str) -> str:
    """The version of an installed Debian package, or that it is none."""
    if shutil.which("dpkg-query") is None:
        return "not a Debian package"
    asked = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", package],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return asked.stdout.strip() or "not a Debian package"


class Busy:
    """How busy a core was since this was made; None where the system does not say."""

    def __init__(self, core: int) -> None:
        self._core = core
        self._before = _ticks(core)

    def share(self) -> float | None:
        """Busy time divided by all time, 0 … 1."""
        now = _ticks(self._core)
        if now is None or self._before is None:
            return None
        spent = [after - before for after, before in zip(now, self._before, strict=True)]
        return 1 - (spent[3] + spent[4]) / (sum(spent) or 1)


def cpu_s(pid: int) -> float:
    """Processor time that a process and its living descendants have used."""
    ticks = 0
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


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    members = [pid]
    for member in members:  # grows while it is read
        members += [child for child, parent in parents.items() if parent == member]
    return members


def _ticks(core: int) -> list[int] | None:
    try:
        text = Path("/proc/stat").read_text()
    except OSError:
        return None
    match = re.search(rf"^cpu{core} (.+)$", text, re.MULTILINE)
    return [int(word) for word in match[1].split()[:_TICK_FIELDS]] if match else None


def rss_kib(pid: int) -> int:
    """Memory that a process holds (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        return platform.processor()
    return platform.processor() or platform.machine()
