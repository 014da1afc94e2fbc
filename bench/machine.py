"""On what machine a figure was measured, and which core does what."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def described() -> str:
    """Processor, cores, memory, kernel and Python, in one line."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def pinned(core: int, command: list[str]) -> list[str]:
    """The command on one core, where the machine can do that."""
    if not hasattr(os, "sched_setaffinity") or core >= (os.cpu_count() or 1):
        return command
    return ["taskset", "-c", str(core), *command]


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        return platform.processor()
    return platform.processor() or platform.machine()
