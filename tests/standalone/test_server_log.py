"""The log of the embedded server is rotated at startup."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

from support.processes import Server

from tributary.standalone.embedded_server import EmbeddedServer

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
