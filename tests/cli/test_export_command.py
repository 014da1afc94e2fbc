"""`tributary export`, and its way back with `tributary load`."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import forking
from support.processes import ROOT, Deployment, Process
from support.waiting import wait_until

from tributary.history import raw_files, store
from tributary.history.database import Database
from tributary.history.raw_files import RawFile
from tributary.history.slots import summarize
from tributary.settings import Settings

Run = Callable[..., Process]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment with readings that are hard to write down."""
    running = Deployment(tmp_path_factory.mktemp("export"))
    values = [72, 0.125, -1.5e-300, 1.7976931348623157e308, 2**53 + 1, -0.0, 1e22, 65535]
    readings = [
        {"device": device, "recorded_at": 1_700_000_000_123 + 7 * n, "Temp": value, "x.y_1": n}
        for device in ("temperature", "a:b/c.d_e-f", "-van")
        for n, value in enumerate([*values, *reversed(values)])
    ]
    assert running.post("/record", readings)[0] == 200
    applied(running, len(readings))
    yield running
    assert running.stop() == 0, running.process.text


def applied(up: Deployment, readings: int) -> None:
    wait_until(lambda: up.get("/api/v1/status")[1]["applied"] == readings, "the readings")


def export(up: Deployment, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    words = [str(argument) for argument in arguments]
    command = [sys.executable, "-m", "tributary", "export", "--data-dir", str(up.data_dir), *words]
    return forking.run(command, cwd=ROOT, stdin=b"", text=False)


def contents(up: Deployment) -> dict[str, Any]:
    """What the server has of each device: the response of /collect, and the totals."""
    found = {}
    for device in [one["device"] for one in up.get("/api/v1/devices")[1]["devices"]]:
        collected = up.get(f"/collect?device={device}")[1]
        metrics = up.get(f"/api/v1/devices/{device}")[1]["metrics"]
        totals = {name: metric["total"] for name, metric in metrics.items()}
        found[device] = {k: v for k, v in collected.items() if k != "age_ms"}, totals
    return found


def check_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Everything is equal but for the rounding of sums that are added in another order."""
    assert found.keys() == expected.keys()
    for device, (collected, totals) in expected.items():
        assert found[device][0] == collected
        for metric, total in totals.items():
            of_loaded = found[device][1][metric]
            assert of_loaded.keys() == total.keys()
            for name, value in total.items():
                is_sum = name in ("mean", "stddev")
                assert of_loaded[name] == (pytest.approx(value, rel=1e-12) if is_sum else value)


@pytest.mark.parametrize("suffix", ["csv", "ndjson", "parquet"])
def test_an_export_can_be_loaded_into_an_empty_server(
    up: Deployment, run: Run, tmp_path: Path, suffix: str
):
    file = tmp_path / f"all.{suffix}"
    done = export(up, file)
    assert done.returncode == 0, done.stderr
    assert b"96 rows, " in done.stderr
    assert b"from the beginning to 20" in done.stderr
    other = Deployment(tmp_path / "other")
    try:
        process = run("load", str(file), "--url", other.url, "--state-dir", str(tmp_path / "state"))
        assert process.end() == 0, process.text
        assert "sent 96, accepted 96, refused 0, skipped 0" in process.text
        applied(other, 96)
        check_same(contents(other), contents(up))
    finally:
        assert other.stop() == 0


def test_standard_output_and_choices(up: Deployment):
    done = export(up, "--device", "temp*", "--metric", "x.y_1", "--to", "1700000000.131")
    assert done.stdout.decode().splitlines() == [
        "device,recorded_at,metric,value",
        "temperature,2023-11-14T22:13:20.123Z,x.y_1,0.0",
        "temperature,2023-11-14T22:13:20.130Z,x.y_1,1.0",
    ]
    lines = export(up, "--format", "ndjson", "--device", "-van", "--metric", "Temp").stdout
    assert len(lines.splitlines()) == 16


def test_slots_from_the_history(up: Deployment):
    db = Database.open(Settings(data_dir=str(up.data_dir)), migrate=True)
    columns = np.ones(3, np.int64), np.full(3, 1_700_000_000_000), np.array([7.0, 8.0, 7.5])
    with store.begin(db, 0) as transaction:
        transaction.merge(summarize([("test/slots", "m")] * 3, *columns, 60_000))
    db.close()
    done = export(up, "--what", "slots", "--slot", "1d", "--device", "test/*")
    found = list(csv.DictReader(done.stdout.decode().splitlines()))
    assert [list(row.values())[:5] for row in found] == [
        ["test/slots", "2023-11-14T00:00:00.000Z", "m", "3", "7.5"]
    ]


def test_raw_files_that_are_listed_must_be_there(up: Deployment, tmp_path: Path):
    choices = ("--raw-dir", tmp_path, "--device", "temp*", "--metric", "x.y_1")
    assert len(export(up, *choices).stdout.splitlines()) == 17
    file = RawFile("day=2023-11-14/partition=0/1-0.parquet", 0, "2023-11-14", "1-0", "1-0", 1, 1)
    db = Database.open(Settings(data_dir=str(up.data_dir)), migrate=True)
    with db.writing() as connection:
        raw_files.replace(connection, [], [file])
    done = export(up, *choices)
    with db.writing() as connection:
        raw_files.replace(connection, [file], [])
    db.close()
    assert (done.returncode, b"Traceback" in done.stderr) == (2, False)
    assert b"is missing; restore it" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["x.txt"], "--format"),
        (["--device", "a b"], "is not a device pattern"),
        (["--slot", "1h"], "what=slots"),
        (["--from", "noon"], "RFC 3339"),
        (["{file}"], "--overwrite"),
        (["--what", "tables"], "readings"),
        (["/nowhere/x.csv"], "/nowhere"),
    ],
)
def test_errors_name_the_remedy(up: Deployment, tmp_path: Path, arguments: list[str], remedy: str):
    (tmp_path / "there.csv").write_text("mine")
    done = export(up, *(word.format(file=tmp_path / "there.csv") for word in arguments))
    assert done.returncode == (1 if "/nowhere/x.csv" in arguments else 2)
    assert remedy in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_a_deployment_that_is_not_running(tmp_path: Path):
    command = [sys.executable, "-m", "tributary", "export", "--data-dir", str(tmp_path)]
    done = forking.run(command, cwd=ROOT)
    assert (done.returncode, "tributary up" in done.stderr) == (1, True)


def test_a_failure_or_a_closed_pipe_leaves_nothing(up: Deployment, tmp_path: Path):
    (tmp_path / "there.csv").write_text("old")
    server = up.redis.info("server")["process_id"]
    os.kill(server, signal.SIGSTOP)
    try:
        done = export(up, tmp_path / "there.csv", "--overwrite")
    finally:
        os.kill(server, signal.SIGCONT)
    assert (done.returncode, b"no reply from Redis" in done.stderr) == (1, True), done.stderr
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
    command = f"{sys.executable} -m tributary export --data-dir {up.data_dir} | true"
    done = subprocess.run(["/bin/sh", "-c", command], cwd=ROOT, capture_output=True, check=False)
    assert b"Traceback" not in done.stderr
    assert b"Exception" not in done.stderr


def test_a_signal_ends_it_and_removes_the_part(up: Deployment, run: Run, tmp_path: Path):
    part = tmp_path / "x.csv.part"
    os.mkfifo(part)
    process = run("export", str(tmp_path / "x.csv"), "--data-dir", str(up.data_dir))
    # It opens the file once somebody reads it, then writes more than nobody reads.
    reader = os.open(part, os.O_RDONLY)
    process.signal(signal.SIGTERM)
    assert process.end() in (0, 1)
    os.close(reader)
    assert not part.exists()
    assert "Traceback" not in process.text
