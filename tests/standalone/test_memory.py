"""The memory limit and the log of the embedded server, and what `doctor` reports about limits."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from support.processes import Deployment, Server

from tributary.operate import diagnostics, machine_memory
from tributary.settings import Settings
from tributary.standalone.embedded_server import EmbeddedServer

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


Start = Callable[..., Server]
_MAX_BYTES = 4_194_304


def test_a_large_log_is_rotated_at_startup(own_server: Start):
    server = own_server()
    folder = Path(server.url.removeprefix("unix://")).parent
    log, old = folder / "redis.log", folder / "redis.log.1"
    server.stop()
    server.start()
    assert not old.exists()
    for filling in (b"a", b"b"):
        server.stop()
        log.write_bytes(filling * (_MAX_BYTES + 1))
        server.start()
        assert old.read_bytes() == filling * (_MAX_BYTES + 1)
        assert 0 < log.stat().st_size < _MAX_BYTES


def test_a_rotated_log_is_not_a_foreign_file(tmp_path: Path):
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    (folder / "redis.log.1").write_text("rotated")
    EmbeddedServer(str(folder)).lock.close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
