"""Files on disk are readable only by their owner; foreign directories keep their mode."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.processes import READY, Process, request

from tributary.load.journal import Entry, Journal
from tributary.standalone import private
from tributary.standalone.embedded_server import EmbeddedServer

Run = Callable[..., Process]


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def readable_by_others(directory: Path) -> list[str]:
    found = [directory, *directory.rglob("*")]
    return [f"{path} {mode(path):o}" for path in found if mode(path) & 0o077]


def start_and_stop(run: Run, data_dir: Path) -> str:
    process = run("up", "--port", "0", "--data-dir", str(data_dir))
    url = process.wait_for(READY)[1]
    assert request(url, "POST", "/record", {"a": 1}, {})[0] == 200
    assert not [each for each in readable_by_others(data_dir) if "redis.sock" not in each]
    process.signal(signal.SIGTERM)
    assert process.end() == 0, process.text
    return process.text


def test_all_files_are_private_and_those_of_an_earlier_version_are_tightened(
    run: Run, tmp_path: Path
):
    data_dir = tmp_path / "parent" / "data"
    start_and_stop(run, data_dir)
    assert mode(data_dir) == 0o700
    assert mode(data_dir.parent) == 0o755
    names = {path.name for path in data_dir.iterdir()}
    assert {"lock", "redis.conf", "redis.log", "redis.url", "appendonlydir"} <= names
    assert not readable_by_others(data_dir)
    for path in (data_dir, *data_dir.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    start_and_stop(run, data_dir)
    assert mode(data_dir) == 0o700
    assert not readable_by_others(data_dir)


def test_a_directory_with_foreign_files_keeps_its_mode(run: Run, tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    (home / "letter.txt").write_text("foreign")
    text = start_and_stop_shared(run, home)
    assert (mode(home), mode(home / "letter.txt")) == (0o755, 0o644)
    assert {mode(home / name) for name in ("lock", "redis.conf", "redis.log")} == {0o600}
    assert mode(home / "appendonlydir") == 0o700
    assert "other users can list the data directory" in text
    assert "chmod 700" in text


def start_and_stop_shared(run: Run, data_dir: Path) -> str:
    process = run("up", "--port", "0", "--data-dir", str(data_dir))
    process.wait_for(READY)
    assert process.stop() == 0, process.text
    return process.text


def test_links_in_a_data_directory_are_not_followed(tmp_path: Path):
    data_dir, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    data_dir.mkdir()
    elsewhere.mkdir(mode=0o755)
    (elsewhere / "file").write_text("foreign")
    (data_dir / "appendonlydir").symlink_to(elsewhere)
    (data_dir / "redis.log").symlink_to(elsewhere / "file")
    EmbeddedServer(str(data_dir)).lock.close()
    assert (mode(elsewhere), mode(elsewhere / "file")) == (0o755, 0o644)
    assert mode(data_dir) == 0o700


def test_a_stricter_mode_is_kept(tmp_path: Path):
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    (data_dir / "lock").touch(mode=0o400)
    assert private.tighten(data_dir, lambda name: name == "lock")
    assert mode(data_dir / "lock") == 0o400


def test_the_journal_of_load_is_private(tmp_path: Path):
    place = tmp_path / "127.0.0.1_8000"
    place.mkdir(mode=0o755)
    (place / "0123456.json").write_text('{"path":"a","plan_sha256":""}')
    journal = Journal(tmp_path, "http://127.0.0.1:8000")
    with journal.locked("89abcde"):
        journal.write("89abcde", Entry(path="b", plan_sha256=""))
    assert len(journal.entries()) == 2
    assert not readable_by_others(place)
