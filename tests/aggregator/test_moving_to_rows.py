"""Data of format 2 moves to rows while it is read and written, whenever the worker is killed.

tests/data/format_2.json has aggregates as two releases wrote them: windows that are full, late
readings, equal times, extreme values, and slots beyond the rings.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from support import folding, forgetting
from support.pipeline import environ
from support.processes import Process
from support.waiting import wait_until

from aggregator import mover, tenure
from aggregator.worker import Worker
from tributary.errors import Misconfigured
from tributary.model.aggregate import Layout
from tributary.model.frame import Block
from tributary.operate import status
from tributary.settings import Settings
from tributary.store import keys, redis_client
from tributary.store.series import Packed

DATA = json.loads((Path(__file__).parents[1] / "data/format_2.json").read_text())
Name = tuple[str, str]


@pytest.fixture(params=DATA)
def release(request: pytest.FixtureRequest) -> Any:
    return DATA[request.param]


@pytest.fixture
def one(change: Callable[..., Settings]) -> Settings:
    return change(partitions=1, average_over=10)


def restore(client: redis.Redis, release: Any, copies: int) -> dict[Name, Packed]:
    """Write the data of a release, each device several times; what has to be read from it."""
    client.hset(keys.CONFIG, mapping=release["config"])
    expected: dict[Name, Packed] = {}
    for number in range(copies):
        for name, values in release["series"].items():
            device, metric = folding.split(name)
            packed = Packed(*(None if v is None else base64.b64decode(v) for v in values))
            expected[f"{device}-{number}", metric] = packed
        for device, text in release["documents"].items():
            copy = f"{device}-{number}"
            client.hset(keys.latest(0), copy, text.replace(f'"{device}"', f'"{copy}"'))
            client.zadd(keys.devices(0), {copy: 0})
    for key, field in ((keys.state, "state"), (keys.windows, "windows")):
        held = {keys.series(*name): getattr(packed, field) for name, packed in expected.items()}
        client.hset(key(0), mapping={name: value for name, value in held.items() if value})
    return expected


def read(client: redis.Redis, settings: Settings, names: Any) -> dict[Name, Packed]:
    """What is read; a series with only empty slots has no rings."""
    found = folding.packed(client, settings, 0, names)
    empty = layout(settings).no_rings.tobytes()
    found = [one._replace(windows=None) if one.windows == empty else one for one in found]
    return dict(zip(names, found, strict=True))


def are_moved(client: redis.Redis) -> bool:
    return not client.exists(keys.state(0), keys.windows_2(0))


def work_until(done: Callable[[], bool], settings: Settings) -> None:
    """Run a worker in this process; `done` is asked between its steps."""

    async def work() -> None:
        stop, worker = asyncio.Event(), Worker(settings)
        running = asyncio.create_task(worker.run(stop))
        async with asyncio.timeout(60):
            while not done():
                await asyncio.sleep(0.002)
        stop.set()
        await running

    asyncio.run(work())


def test_every_value_is_equal_at_every_moment(
    one: Settings, client: redis.Redis, release: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(mover, "SERIES_PER_TURN", 3)
    monkeypatch.setattr(tenure, "BLOCK_MS", 50)  # a turn waits for the read that is under way
    expected = restore(client, release, 5)
    redis_client.prepare(client, one)
    assert client.hget(keys.CONFIG, "format") == b"2"
    assert read(client, one, expected) == expected
    moved: set[int] = set()

    def done() -> bool:
        assert read(client, one, expected) == expected
        assert status.read(client, one).series == len(expected)
        moved.add(client.hlen(keys.rows(0)))
        return are_moved(client)

    work_until(done, one)
    assert len(moved) > 2, "nothing was read while series moved"
    assert read(client, one, expected) == expected
    assert client.hget(keys.CONFIG, "format") == b"3"
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):  # as an older aggregator commits
        client.hlen(keys.windows(0))
    with_beyond = {name[0] for name in expected if name[0].startswith("ahead")}
    assert len(with_beyond) == client.hlen(keys.beyond(0))


@pytest.mark.kills
def test_a_worker_killed_anywhere_moves_nothing_twice_and_loses_nothing(
    one: Settings, client: redis.Redis, release: Any, run: Callable[..., Process]
):
    expected = restore(client, release, 70)
    kept = dict(expected)
    chance = random.Random(len(expected))
    readings = dict.fromkeys(expected, 0)

    def is_dead_or_done(process: Process) -> bool:
        return process.popen.poll() is not None or (
            are_moved(client) and not folding.behind(client, one)
        )

    for round_ in range(5):
        for device, metric in chance.sample(sorted(expected), 20):
            newest_ms = np.frombuffer(kept[device, metric].state or b"", layout(one).state)
            time_ms = int(newest_ms["times_ms"][0, -1]) + 1 + round_
            folding.append(client, one, [Block(device, time_ms, {metric: 1.0})])
            readings[device, metric] += 1
        point = chance.choice(["after_commit", "after_commit_sent", "after_load", "after_fold"])
        dying = run("aggregator", environ=environ(one, f"{point}:{chance.randint(1, 3)}"))
        wait_until(lambda dying=dying: is_dead_or_done(dying), "it to exit, or to be done", 60)
        dying.popen.kill()
        dying.popen.wait()
        for name, found in read(client, one, expected).items():
            before = count(one, expected[name])
            assert before <= count(one, found) <= before + readings[name]
            if not readings[name]:
                assert found == expected[name]
    work_until(lambda: are_moved(client) and not folding.behind(client, one), one)
    for name, found in read(client, one, expected).items():
        assert count(one, found) == count(one, expected[name]) + readings[name]
        if not readings[name]:
            assert found == expected[name]
    addresses = client.hvals(keys.rows(0))
    states, rings = zip(*(address.partition(b",")[::2] for address in addresses), strict=True)
    assert len(set(states)) == len(states)
    assert len(set(filter(None, rings))) == len(list(filter(None, rings)))


def layout(settings: Settings) -> Layout:
    return Layout(settings.parsed_windows, settings.average_over)


def count(settings: Settings, packed: Packed) -> int:
    return int(np.frombuffer(packed.state or b"", layout(settings).state)[0]["count"])


def test_devices_of_format_2_are_forgotten(
    one: Settings, client: redis.Redis, release: Any, monkeypatch: pytest.MonkeyPatch
):
    """Before, while and after their series move; their rows become those of others."""
    monkeypatch.setattr(mover, "SERIES_PER_TURN", 1)
    monkeypatch.setattr(tenure, "BLOCK_MS", 50)
    expected = restore(client, release, 3)
    gone = [f"{device}-{number}" for device in ("full", "late") for number in range(3)]
    forgetting.append(client, 0, gone[:2])
    folding.aggregate(one, client)
    forgetting.append(client, 0, gone[2:])
    work_until(lambda: are_moved(client) and not folding.behind(client, one), one)
    left = {name: packed for name, packed in expected.items() if name[0] not in gone}
    found = read(client, one, expected)
    assert {name: packed for name, packed in found.items() if packed.state} == left
    held = [*client.hkeys(keys.rows(0)), *client.zrange(keys.devices(0), 0, -1)]
    assert not any(device.encode() in name for device in gone for name in held)
    freed = client.llen(keys.free(0))
    for number in range(freed + 1):
        folding.append(client, one, [Block(f"new-{number}", 1_700_000_000_000, {"m": 1.0})])
    folding.aggregate(one, client)
    assert client.llen(keys.free(0)) == 0
    assert read(client, one, left) == left
    for number in range(freed + 1):
        state = folding.state(client, one, f"new-{number}", "m")
        assert (int(state["count"]), state["times_ms"].tolist().count(-1)) == (1, 9)


def test_an_older_format_than_2_and_a_newer_one_are_refused(one: Settings, client: redis.Redis):
    for number, remedy in (("1", "upgrade with a version that reads format 1"), ("4", "a newer")):
        client.hset(keys.CONFIG, mapping={**DATA["4e55f69"]["config"], "format": number})
        with pytest.raises(Misconfigured, match=f"format is {number} in Redis, 3 here; {remedy}"):
            redis_client.prepare(client, one)


def test_a_damaged_series_stays_readable_as_such_and_stops_nothing(
    one: Settings, client: redis.Redis, release: Any
):
    expected = restore(client, release, 1)
    client.hset(keys.state(0), "few-0|m", b"short")
    folding.append(client, one, [Block("one-0", 1_800_000_000_000, {"m": 1.0})])
    folding.aggregate(one, client)
    assert client.hexists(keys.state(0), "few-0|m")
    assert folding.state(client, one, "one-0", "m")["count"] == 2
    assert read(client, one, [("full-0", "m")])["full-0", "m"] == expected["full-0", "m"]
