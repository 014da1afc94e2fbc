"""The memory limit of the embedded server, and what `doctor` reports about memory limits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.processes import Deployment

from tributary.operate import diagnostics, machine_memory
from tributary.settings import Settings

GIB = 1024**3


def test_the_limit_of_a_container_applies_if_it_is_smaller(tmp_path: Path):
    limit, unlimited = tmp_path / "memory.max", tmp_path / "none"
    limit.write_text("536870912\n")
    unlimited.write_text("max\n")
    machine_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert machine_memory.total_bytes((limit,)) == 512 * 1024**2
    assert machine_memory.total_bytes((unlimited, tmp_path / "no-such-file")) == machine_bytes
    limit.write_text(str(2**62))
    assert machine_memory.total_bytes((limit,)) == machine_bytes


@pytest.mark.parametrize(
    ("given", "expected"), [(0, machine_memory.total_bytes() // 2), (GIB, GIB)]
)
def test_the_embedded_server_has_a_memory_limit(tmp_path: Path, given: int, expected: int):
    up = Deployment(tmp_path / "data", environ={"TRIBUTARY_SERVER_MEMORY_BYTES": str(given)})
    try:
        assert int(up.redis.config_get("maxmemory")["maxmemory"]) == expected
    finally:
        assert up.stop() == 0


@pytest.mark.parametrize(
    ("max_bytes", "series_max", "grade", "text"),
    [
        (0, 1_000, "warning", "maxmemory of the server is 0"),
        (7 * GIB, 1_000, "warning", "rewriting the append-only file"),
        (4 * GIB, 10_000_000, "warning", "set TRIBUTARY_SERIES_MAX to at most 1431655"),
        (4 * GIB, 0, "warning", "no series_max"),
        (4 * GIB, 1_000_000, "ok", "maxmemory is"),
    ],
)
def test_doctor_checks_the_memory_limit(max_bytes: int, series_max: int, grade: str, text: str):
    info = {"maxmemory": max_bytes, "total_system_memory": 8 * GIB, "role": "master"}
    findings = diagnostics.check_server(info, Settings(series_max=series_max))
    found = [finding for finding in findings if finding.subject == "memory"]
    assert [(f.grade, text in f.text) for f in found] == [(grade, True)]
