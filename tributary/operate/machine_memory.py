"""How much memory this machine, or the container it runs in, has."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP_FILES = (
    Path("/sys/fs/cgroup/memory.max"),  # cgroup v2
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),  # cgroup v1
)
SERIES_BYTES = 3_000  # of Redis per series with all windows full, its devices included


def total_bytes(cgroup_files: tuple[Path, ...] = _CGROUP_FILES) -> int:
    """The memory that processes here may use together: of the machine, or of its control group."""
    machine_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine_bytes, *filter(None, map(_limit_bytes, cgroup_files))])


def _limit_bytes(file: Path) -> int:
    """The limit in a file of the kernel; 0: there is none."""
    try:
        text = file.read_text().strip()
    except OSError:
        return 0
    return int(text) if text.isdecimal() else 0
