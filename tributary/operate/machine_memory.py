"""The memory of this machine, or of the container."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP_FILES = (
    Path("/sys/fs/cgroup/memory.max"),  # cgroup v2
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),  # cgroup v1
)
SERIES_BYTES = 3_000  # Redis memory per series with full windows, including its device


def total_bytes(cgroup_files: tuple[Path, ...] = _CGROUP_FILES) -> int:
    """The memory available to all processes: of the machine, or of the control group if less."""
    machine_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine_bytes, *filter(None, map(_limit_bytes, cgroup_files))])


def _limit_bytes(file: Path) -> int:
    """Read a limit from a kernel file; 0 if there is none."""
    try:
        text = file.read_text().strip()
    except OSError:
        return 0
    return int(text) if text.isdecimal() else 0
