"""Repeated and interrupted loads: every row counts once."""

from __future__ import annotations

import gzip
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.loading import Load, Table, settled
from support.processes import Deployment, Process, sigint_ignored
from support.scripted import accepted, later, scripted
from support.waiting import wait_until


def test_a_second_run_sends_nothing(load: Load, deployment: Deployment, table: Table):
    path = table(2500)
    assert load(path)[0] == 0
    settled(deployment, path.stem, 2500)
    status, text = load(path)
    assert status == 0
    assert "already loaded" in text
    assert "sent 0, accepted 0, refused 0, skipped 0, loaded before 2500" in text
    settled(deployment, path.stem, 2500)


def test_a_copy_that_was_renamed_and_compressed_is_recognised(
    load: Load, deployment: Deployment, table: Table, tmp_path: Path
):
    path = table(10)
    load(path)
    settled(deployment, path.stem, 10)
    (tmp_path / "copy.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert "already loaded" in load(tmp_path / "copy.gz")[1]


def test_the_same_file_twice_in_one_command_is_loaded_once(
    load: Load, deployment: Deployment, table: Table
):
    path = table(10)
    status, text = load(path, path)
    assert (status, "accepted 10" in text, "already loaded" in text) == (0, True, True), text
    settled(deployment, path.stem, 10)


def test_a_file_that_has_grown_is_resumed(load: Load, deployment: Deployment, table: Table):
    path = table(10)
    load(path)
    settled(deployment, path.stem, 10)
    with path.open("a") as file:
        file.write(f"{path.stem},1750000000,77\n")
    status, text = load(path)
    assert (status, "resuming at line 12" in text) == (0, True), text
    assert "sent 1, accepted 1" in text
    settled(deployment, path.stem, 11)


def test_a_file_with_another_beginning_is_another_file(
    load: Load, deployment: Deployment, table: Table
):
    path = table(10)
    load(path)
    path.write_text(path.read_text().replace("1700000000", "1600000000"))
    assert "sent 10, accepted 10" in load(path)[1]
    settled(deployment, path.stem, 20)


def test_again_loads_the_file_exactly_once_more(load: Load, deployment: Deployment, table: Table):
    path = table(10)
    load(path)
    status, text = load(path, "--again")
    assert (status, "sent 10, accepted 10" in text) == (0, True), text
    assert "already loaded" in load(path)[1]
    settled(deployment, path.stem, 20)


def test_a_server_that_was_emptied_gets_everything(
    load: Load, deployment: Deployment, table: Table, tmp_path: Path
):
    path = table(10)
    load(path)
    fresh = Deployment(tmp_path / "fresh")
    state = next((tmp_path / "state").iterdir())
    name = fresh.url.partition("://")[2].replace(":", "_")
    shutil.copytree(state, tmp_path / "state" / name)
    status, text = load(path, url=fresh.url)
    assert (status, "has none of its devices" in text) == (0, True), text
    settled(fresh, path.stem, 10)
    assert fresh.stop() == 0


def test_an_unavailable_server_ends_the_load_with_a_remedy(
    run: Callable[..., Process], table: Table, tmp_path: Path
):
    path = table(3000)
    responses = (accepted(0), accepted(1000), later(retry_after="3600"))
    with scripted(*responses) as server:
        process = run("load", str(path), "--url", server.url, "--state-dir", str(tmp_path))
        assert process.end() == 1
    assert "run the same command again" in process.text
    assert "accepted 1000" in process.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_load_prints_how_to_resume(
    run: Callable[..., Process],
    table: Table,
    tmp_path: Path,
    number: signal.Signals,
):
    with scripted(accepted(0), later(retry_after="30")) as server, sigint_ignored():
        process = run("load", str(table(10)), "--url", server.url, "--state-dir", str(tmp_path))
        wait_until(lambda: len(server.requests) == 2, "the first batch to be sent")
        process.signal(number)
        assert process.end() == 1
    assert "interrupted; run the same command again" in process.text
