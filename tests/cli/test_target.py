"""How a command finds its deployment: by option, by directory, or the only one running."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.processes import ROOT, Deployment, Server

from tributary.cli import main
from tributary.standalone import data_dir

NOT_RUNNING = (
    "no Tributary is running here; start it with `tributary up`, or pass --data-dir / --redis-url"
)
COMMANDS = [
    "status",
    "status --json",
    "top --once",
    "doctor",
    "dead list",
    "dead replay --all --yes",
    "token list",
    "token revoke 3f9a01bc",
]
Command = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to type commands in, of a user who has started nothing yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Run a command in this process: its exit status and output."""

    def run(words: str, *more: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["tributary", *words.split(), *more])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), "".join(capfd.readouterr())

    return run


@pytest.mark.parametrize("words", COMMANDS)
def test_reports_that_nothing_is_running(command: Command, words: str):
    assert command(words) == (1, f"tributary: {NOT_RUNNING}\n")


@pytest.mark.parametrize("words", ["status", "token list", "doctor"])
def test_reports_that_nothing_is_running_in_the_named_directory(
    command: Command, words: str, elsewhere: Path
):
    status, text = command(words, "--data-dir", "data")
    assert (status, text.count("\n")) == (1, 1)
    assert NOT_RUNNING in text
    assert str(elsewhere / "data") in text
    assert not list(elsewhere.iterdir())


def test_finds_the_only_up_from_any_directory_until_it_ends(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    up = Deployment(tmp_path / "data")
    for words in ("status", "doctor", "token create", "dead list"):
        assert command(words)[0] == 0
    status, text = command("top --once")
    assert status == 0
    assert str(up.data_dir) in text
    assert up.stop() == 0
    assert command("status") == (1, f"tributary: {NOT_RUNNING}\n")
    monkeypatch.chdir(tmp_path)
    assert command("status") == (1, f"tributary: {NOT_RUNNING}\n")


def test_lists_several_servers_so_that_one_can_be_chosen(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    paths = [tmp_path / "data", tmp_path / "first data"]
    servers = [Server(path) for path in paths]
    for path in paths:
        data_dir.register(path)
    status, text = command("token list")
    assert status == 2
    assert text.splitlines() == [
        "tributary: several servers are running; choose one:",
        f"  --data-dir {tmp_path}/data",
        f"  --data-dir '{tmp_path}/first data'",
    ]
    assert command("token list", "--data-dir", str(paths[1]))[0] == 0
    assert command("token list", "--redis-url", servers[0].url)[0] == 0
    with monkeypatch.context() as here:
        here.chdir(tmp_path)
        assert command("token list")[0] == 0, "./data is the default"
    servers[0].kill()
    servers[0].close()
    assert command("token list")[0] == 0, "one server is left"
    servers[1].close()
    assert command("token list") == (1, f"tributary: {NOT_RUNNING}\n")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that is set up, with a `tributary` that prints how it was called."""
    root = tmp_path / "check out"
    programs = root / ".venv" / "bin"
    programs.mkdir(parents=True)
    shutil.copytree(ROOT / "scripts", root / "scripts")
    for name in ("requirements.lock", ".venv/requirements.lock.installed"):
        (root / name).write_text("as locked")
    (root / "pyproject.toml").touch()
    program = programs / "tributary"
    program.write_text('#!/bin/sh\necho "$PWD" "$TRIBUTARY_DATA_DIR" "$@"\n')
    program.chmod(0o755)
    return root


def test_scripts_up_takes_a_relative_path_from_the_current_directory(
    checkout: Path, tmp_path: Path
):
    words = ["check out/scripts/up", "--data-dir", "here"]
    printed = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert printed == f"{tmp_path} {checkout}/data up --data-dir here\n"


def test_scripts_up_uses_the_data_directory_of_the_environment(checkout: Path, tmp_path: Path):
    printed = subprocess.run(
        [checkout / "scripts" / "up"],
        env={**os.environ, "TRIBUTARY_DATA_DIR": "named"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed == f"{tmp_path} named up\n"
