"""No process remains after a kill, and Ctrl-C stops a deployment without losses."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from faults import tree
from support.pipeline import Load, environ
from support.processes import (
    Deployment,
    Process,
    Server,
    free_port,
    sigint_ignored,
    tributary,
)
from support.waiting import wait_until

from tributary.settings import Settings
from tributary.standalone.embedded_server import EmbeddedServer

Run = Callable[..., Process]


def children(pid: int) -> list[int]:
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


@pytest.mark.kills
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("role", ["ingest", "api"])
def test_workers_exit_with_their_master(
    run: Run, server: Server, tmp_path: Path, role: str, number: signal.Signals
):
    """Killed as soon as the first worker is there, long before it serves."""
    mark, port = uuid.uuid4().hex, free_port()
    variables = {**environ(Settings(redis_url=server.url, ingest_workers=2)), tree.MARK: mark}
    for _ in range(2):
        master = run(role, "--port", str(port), environ=variables)
        wait_until(lambda m=master: children(m.pid), "a worker")  # type: ignore[misc]
        master.signal(number)
        master.end()
        assert not tree.left_behind(mark, tmp_path, port)


def test_stops_during_startup_with_sigint_ignored(run: Run, tmp_path: Path):
    with (
        contextlib.closing(EmbeddedServer(str(tmp_path)).lock),
        sigint_ignored(),
    ):
        up = run("up", "--port", "0", "--data-dir", str(tmp_path), "--log-level", "DEBUG")
        wait_until(lambda: children(up.pid), "the guard")
        up.signal(signal.SIGINT)
        assert up.end() == 0, up.text


def test_ctrl_c_stops_up_and_nothing_is_lost(tmp_path: Path):
    """A terminal sends SIGINT to the whole foreground process group."""
    port = free_port()
    data_dir = tmp_path / "data"
    options = ("up", "--port", str(port), "--data-dir", str(data_dir))
    up = tributary(*options, start_new_session=True)
    up.wait_for(tree.READY)
    load = Load(f"http://127.0.0.1:{port}", tmp_path / "ledger.jsonl", readings=1 << 30, seed=1)
    load.wait_for(500)
    os.killpg(up.pid, signal.SIGINT)
    assert up.end() == 0, up.text
    assert "exited" not in up.text  # no child went before its turn
    load.close()
    again = Deployment(data_dir)
    url = (data_dir / "redis.url").read_text().strip()
    assert load.verdict(Settings(redis_url=url)).is_clean
    assert again.stop() == 0
