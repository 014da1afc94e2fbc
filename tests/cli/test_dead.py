"""`tributary dead`: lists, shows, replays and drops entries; all counts still add up."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import redis
from support import folding, forking
from support.pipeline import environ
from support.processes import ROOT

from aggregator import together
from aggregator.fold import fold
from tributary.model.frame import Block, pack
from tributary.operate import dead_letters, status
from tributary.settings import Settings
from tributary.store import keys

COUNTS = ("accepted", "applied", "late", "dead", "lost", "pending")
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(settings: Settings) -> Command:
    """Run `tributary dead …` against the test's server."""

    def call(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "tributary", "dead", *arguments]
        return forking.run(words, cwd=ROOT, env=environ(settings), stdin=stdin)

    return call


def account(client: redis.Redis, settings: Settings) -> tuple[int, ...]:
    found = status.read(client, settings)
    assert found.accepted == sum(getattr(found, name) for name in COUNTS[1:])
    return tuple(getattr(found, name) for name in COUNTS)


@pytest.fixture
def buried(
    client: redis.Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> list[dead_letters.DeadEntry]:
    """An invalid frame, a frame that fails only with the faulty fold, and a foreign entry."""

    def faulty(*arguments: Any) -> Any:
        if 666.0 in arguments[3].values:
            raise ValueError("cannot be folded")
        return fold(*arguments)

    partition = keys.partition_of("d", settings.partitions)
    folding.append(client, settings, [Block("d", 1, {"m": 1.0})])
    folding.append_packed(client, partition, b"\xc1garbage", 3)
    folding.append(client, settings, [Block("d", 2, {"m": 666.0}), Block("d", 3, {"m": 2.0})])
    client.xadd(keys.readings(partition), {"r": pack([Block("d", 4, {"m": 3.0})]), "by": "me"})
    with monkeypatch.context() as patch:
        patch.setattr(together, "fold", faulty)
        folding.aggregate(settings, client)
    assert account(client, settings) == (7, 1, 0, 6, 0, 0)
    return list(dead_letters.read(client, partition))


def test_lists_entries_with_their_reasons(command: Command, buried: list[dead_letters.DeadEntry]):
    rows = json.loads(command("list", "--json").stdout)
    assert [(row["entry"], row["readings"]) for row in rows] == [
        (entry.name, readings) for entry, readings in zip(buried, (3, 2, 1), strict=True)
    ]
    assert [row["reason"].split(":")[0] for row in rows] == [
        "not a frame",
        "failed 5 times",
        "not written by append",
    ]
    text = command("list", "--limit", "2")
    assert "cannot be folded" in text.stdout
    assert "more than these 2" in text.stderr


def test_shows_an_entry_with_its_bytes(command: Command, buried: list[dead_letters.DeadEntry]):
    garbage, faulty, _ = buried
    assert "c1 67 61 72" in command("show", garbage.name).stdout
    shown = json.loads(command("show", faulty.name, "--json").stdout)
    assert "666.0" in shown["readings_held"]
    assert bytes.fromhex(shown["fields_hex"][5]) == faulty.packed()
    assert command("show", "0/1-1").returncode == 1
    wrong = command("show", "car-7")
    assert wrong.returncode == 2
    assert "PARTITION/ID" in wrong.stderr


def test_replayed_readings_count_once(
    command: Command, buried: list[dead_letters.DeadEntry], client: redis.Redis, settings: Settings
):
    done = command("replay", "--all", "--yes", "--json")
    assert done.returncode == 1  # garbage cannot be replayed
    result = json.loads(done.stdout)
    assert result["replayed"] == 2
    assert list(result["refused"]) == [buried[0].name]
    assert account(client, settings) == (7, 1, 0, 3, 0, 3)
    assert dead_letters.replay(client, settings, buried)[0] == 0, "nothing is replayed twice"
    folding.aggregate(settings, client)
    assert account(client, settings) == (7, 4, 0, 3, 0, 0)
    state = folding.state(client, settings, "d", "m")
    assert (state["count"], state["max"]) == (4, 666.0)
    assert folding.latest(client, settings, "d")["current_m"] == 3.0


def test_an_entry_that_fails_again_is_dead_once(
    buried: list[dead_letters.DeadEntry],
    client: redis.Redis,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(together, "fold", lambda *_: 1 / 0)
    for _ in range(3):
        (entry,) = [e for e in dead_letters.read(client, buried[1].partition) if e.readings == 2]
        assert dead_letters.replay(client, settings, [entry]) == (1, {})
        assert account(client, settings) == (7, 1, 0, 4, 0, 2)
        folding.aggregate(settings, client)
        assert account(client, settings) == (7, 1, 0, 6, 0, 0)


def test_replayed_entries_that_are_trimmed_before_they_are_read_are_lost(
    buried: list[dead_letters.DeadEntry], client: redis.Redis, settings: Settings
):
    dead_letters.replay(client, settings, buried[1:])
    client.xtrim(keys.readings(buried[0].partition), maxlen=0, approximate=False)
    folding.append(client, settings, [Block("d", 5, {"m": 3.0})])
    folding.aggregate(settings, client)
    assert account(client, settings) == (8, 2, 0, 3, 3, 0)


def test_a_replay_never_trims_unread_entries(
    buried: list[dead_letters.DeadEntry], client: redis.Redis, change: Callable[..., Settings]
):
    settings = change(stream_max_entries=100)
    for number in range(89):
        folding.append(client, settings, [Block("d", 10 + number, {"m": 1.0})])
    replayed, refused = dead_letters.replay(client, settings, buried[1:])
    assert replayed == 1
    assert refused == {buried[2].name: "the backlog is full; retry later"}


def test_dropped_entries_are_still_counted_as_dead(
    command: Command, buried: list[dead_letters.DeadEntry], client: redis.Redis, settings: Settings
):
    declined = command("drop", buried[0].name, stdin="n\n")
    assert declined.returncode == 1
    assert command("drop").returncode == 2
    assert len(list(dead_letters.read(client, buried[0].partition))) == 3
    assert "dropped 1 entries" in command("drop", buried[0].name, stdin="y\n").stdout
    assert json.loads(command("drop", "--all", "--yes", "--json").stdout) == {"dropped": 2}
    assert not list(dead_letters.read(client, buried[0].partition))
    assert account(client, settings) == (7, 1, 0, 6, 0, 0)
