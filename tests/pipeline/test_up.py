"""`tributary up`: errors at startup, restarts of children, orderly and abrupt shutdown."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.pipeline import Load
from support.processes import Deployment, Process, sigint_ignored
from support.waiting import wait_until

from tributary.operate import status
from tributary.settings import Settings
from tributary.store import keys

CHILDREN = {"server": "valkey-server", "aggregator": "tributary aggregator", "web": "tributary web"}
Run = Callable[..., Process]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Deployment]:
    running = Deployment(tmp_path / "data")
    yield running
    running.process.kill()
    wait_until(lambda: not group_of(running.process.pid), "all children to exit")


def commands() -> dict[int, tuple[int, str]]:
    """Parent and command line of every process on this machine."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int(re.split(r"\) . ", (entry / "stat").read_text())[1].split()[0])
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (OSError, IndexError):
                continue
            found[int(entry.name)] = (parent, line)
    return found


def group_of(pid: int) -> list[int]:
    """The live processes among the descendants seen so far."""
    return [p for p, (_, line) in commands().items() if p in _SEEN.get(pid, set()) and line]


_SEEN: dict[int, set[int]] = {}


def descendants(pid: int) -> dict[int, str]:
    """The descendants of a process and their command lines; remembered for `group_of`."""
    every = commands()
    below = {pid}
    while more := {p for p, (parent, _) in every.items() if parent in below} - below:
        below |= more
    _SEEN.setdefault(pid, set()).update(below - {pid})
    return {p: every[p][1] for p in below - {pid}}


def child(up: Deployment, kind: str) -> int:
    """The pid of the first process of a kind directly below `up`."""
    descendants(up.process.pid)
    for pid, (parent, line) in commands().items():
        if parent == up.process.pid and CHILDREN[kind] in line:
            return pid
    return 0


def settings_of(up: Deployment) -> Settings:
    return Settings(redis_url=(up.data_dir / "redis.url").read_text().strip())


def test_stops_in_order_and_keeps_recorded_readings(tmp_path: Path):
    starts = (contextlib.nullcontext, sigint_ignored)
    for turn, (start, number) in enumerate(
        itertools.product(starts, (signal.SIGTERM, signal.SIGINT))
    ):
        with start():
            up = Deployment(tmp_path / "data")
        for earlier in range(turn):
            assert wait_until(
                lambda up=up, n=earlier: up.get(f"/collect?device=kept-{n}")[0] == 200,
                "the reading",
            )
        assert up.post("/record", {"device": f"kept-{turn}", "speed": 3})[0] == 200
        descendants(up.process.pid)
        up.process.signal(number)
        assert up.process.end() == 0
        assert not group_of(up.process.pid)


@pytest.mark.kills
def test_killed_children_are_restarted_and_nothing_is_lost(up: Deployment, tmp_path: Path):
    kills = list(itertools.product((signal.SIGTERM, signal.SIGKILL), CHILDREN)) * 2
    load = Load(up.url, tmp_path / "ledger.jsonl", readings=700 * (len(kills) + 1), seed=1)
    for turn, (number, kind) in enumerate(kills):
        load.wait_for(500 + 700 * turn)
        pid = wait_until(lambda kind=kind: child(up, kind), f"a {kind}")
        os.kill(pid, number)
        wait_until(
            lambda kind=kind, pid=pid: child(up, kind) not in (0, pid),
            f"another {kind} after {number.name}",
        )
    verdict = load.verdict(settings_of(up))
    load.close()
    assert verdict.is_clean, verdict
    assert verdict.acknowledged == load.readings
    assert up.process.text.count("child exited") >= len(kills)
    assert up.stop() == 0


@pytest.mark.kills
def test_leaves_no_orphans_when_it_is_killed(up: Deployment):
    below = descendants(up.process.pid)
    assert len(below) >= 5
    up.process.kill()
    wait_until(lambda: not group_of(up.process.pid), "all children to exit")
    again = Deployment(up.data_dir)
    assert again.stop() == 0


def refused(run: Run, *arguments: str, **environ: str) -> str:
    """The only line that a failed start prints; it exits 2."""
    process = run("up", *arguments, environ=environ)
    assert process.end() == 2, process.text
    (line,) = process.text.strip().splitlines()
    assert line.startswith("tributary: ")
    return line


def test_a_port_in_use_is_reported_in_one_line(run: Run, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refused(run, "--port", port, "--data-dir", str(tmp_path / "data"))
    assert f"127.0.0.1:{port}" in line
    assert "--port" in line


def test_an_unwritable_data_directory_is_reported_in_one_line(run: Run, tmp_path: Path):
    (tmp_path / "file").write_text("")
    line = refused(run, "--port", "0", "--data-dir", str(tmp_path / "file" / "data"))
    assert "--data-dir" in line


def test_a_data_directory_in_use_is_reported_in_one_line(run: Run, up: Deployment):
    line = refused(run, "--port", "0", "--data-dir", str(up.data_dir))
    assert "another tributary uses" in line


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:1/0", "http://127.0.0.1", "nonsense", "unix:///nowhere/redis.sock"]
)
def test_a_wrong_redis_url_is_reported_in_one_line(run: Run, url: str):
    assert "redis_url=" in refused(run, "--port", "0", "--redis-url", url)


def test_all_invalid_settings_are_reported_together(run: Run):
    line = refused(run, "--port", "99999", TRIBUTARY_PARTITION="8", TRIBUTARY_HEARTBEAT_MS="soon")
    assert "TRIBUTARY_PORT='99999'" in line
    assert "TRIBUTARY_PARTITION is not a setting (did you mean TRIBUTARY_PARTITIONS?)" in line
    assert "TRIBUTARY_HEARTBEAT_MS='soon'" in line


def test_serves_other_machines_without_tokens_only_with_open(run: Run, tmp_path: Path):
    line = refused(run, "--port", "0", "--host", "0.0.0.0", "--data-dir", str(tmp_path / "data"))
    assert "--open" in line


def test_goes_on_with_the_partitions_of_its_data(run: Run, tmp_path: Path):
    first = Deployment(tmp_path / "data", environ={"TRIBUTARY_PARTITIONS": "16"})
    assert first.stop() == 0
    again = Deployment(tmp_path / "data")
    devices = [f"car-{number}" for number in range(30)]
    again.post("/record", [{"device": device, "speed": 1} for device in devices])
    used = {p for p in range(32) if again.redis.exists(keys.readings(p))}
    assert used == {keys.partition_of(device, 16) for device in devices}
    wait_until(lambda: again.get("/collect?device=car-29")[0] == 200, "the aggregate")
    listed = run("status", "--json", "--data-dir", str(again.data_dir))
    assert listed.end() == 0
    assert len(json.loads(listed.text)["partitions"]) == 16
    assert again.stop() == 0


def test_refuses_data_of_other_settings(run: Run, tmp_path: Path):
    assert Deployment(tmp_path / "data").stop() == 0
    process = run(
        "up", "--port", "0", "--data-dir", str(tmp_path / "data"),
        environ={"TRIBUTARY_PARTITIONS": "8"},
    )  # fmt: skip
    assert process.end() == 2
    assert "partitions is 4 in Redis, 8 here" in process.text


def test_status_reports_applied_readings(up: Deployment, run: Run):
    up.post("/record", [{"speed": n} for n in range(5)])
    settings = settings_of(up)
    wait_until(lambda: status.read(up.redis, settings).applied == 5, "five readings")
    process = run("status", "--json", "--data-dir", str(up.data_dir))
    assert process.end() == 0
    assert '"accepted": 5' in process.text
    assert '"pending": 0' in process.text


def test_status_of_an_unreachable_server_exits_1(run: Run, tmp_path: Path):
    process = run("status", "--redis-url", "redis://127.0.0.1:1/0", "--data-dir", str(tmp_path))
    assert process.end() == 1
    assert "127.0.0.1:1" in process.text
