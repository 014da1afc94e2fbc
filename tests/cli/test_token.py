"""`tributary token`: creates, lists and revokes tokens."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.processes import Server

from tributary.cli import main

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def token(
    server: Server, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Run `tributary token …` in this process: its exit status and output."""

    def run(command: str, *arguments: str) -> tuple[int, str]:
        words = ["tributary", "token", command, "--redis-url", server.url, *arguments]
        monkeypatch.setattr("sys.argv", words)
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), "".join(capfd.readouterr())

    return run


def test_lists_what_was_created_until_it_is_revoked(token: Command):
    caps = ("--series-max", "7", "--expires-in", "12h")
    assert token("create", "--name", "car", "--device", "car-*", *caps)[0] == 0
    (row,) = json.loads(token("list", "--json")[1])
    assert (row["name"], row["device"], row["scopes"]) == ("car", "car-*", ["record"])
    assert (row["series_max"], row["devices_max"]) == (7, 0)
    assert row["expires_at"] > row["created_at"]
    assert row["id"] in token("list")[1]
    assert token("revoke", row["id"])[0] == 0
    assert json.loads(token("list", "--json")[1]) == []
    assert token("revoke", row["id"])[0] == 1


@pytest.mark.parametrize("duration", ["soon", "0d", "-1h", "999999999d"])
def test_rejects_an_invalid_duration(token: Command, duration: str):
    status, text = token("create", "--expires-in", duration)
    assert status == 2
    assert f"--expires-in {duration!r} is not a valid duration" in text
