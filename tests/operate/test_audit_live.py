"""The audit while readings arrive, while a large entry is applied, and with dead entries."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random

import msgspec
import pytest
import redis
from operate.test_audit_differences import audit, grow, now_ms, random_block
from support import folding, forgetting
from support.pipeline import environ
from support.processes import Process
from support.waiting import wait_until

from aggregator import together
from aggregator.fold import fold
from jobs.forget import job as forget_job
from tributary.model.frame import Block, pack, readings_in
from tributary.operate import dead_letters
from tributary.settings import Settings
from tributary.store import keys, redis_client

Run = Callable[..., Process]


METRICS = 40


def column(readings: int) -> Block:
    times = struct.pack(f"<{readings}q", *range(now_ms() - readings, now_ms()))
    values = struct.pack(f"<{readings}d", *map(float, range(readings)))
    return Block("car-7", times, {f"m{metric}": values for metric in range(METRICS)})


def append(client: redis.Redis, blocks: list[Block]) -> None:
    folding.append_frame(client, 0, pack(blocks), readings_in(blocks))


def test_no_differences_while_readings_are_applied(
    change: Callable[..., Settings], client: redis.Redis, run: Run
):
    settings = change(partitions=1)
    redis_client.prepare(client, settings)
    run("aggregator", environ=environ(settings))
    is_over = threading.Event()

    def send() -> None:
        random, sender = Random(1), redis.Redis.from_url(settings.redis_url)
        while not is_over.is_set():
            append(sender, [random_block(random, now_ms()) for _ in range(9)])
        sender.close()

    sending = threading.Thread(target=send)
    sending.start()
    hwms = set()
    try:
        for _ in range(4):
            wait_until(lambda: client.hget(keys.meta(0), "hwm") not in hwms, "more entries")
            hwms.add(client.hget(keys.meta(0), "hwm"))
            found = audit(client, settings)
            assert (found.differences, found.since) == ([], None)
    finally:
        is_over.set()
        sending.join()


def test_a_large_entry_counts_as_far_as_it_is_applied(
    change: Callable[..., Settings], client: redis.Redis, run: Run
):
    settings = change(partitions=1)
    redis_client.prepare(client, settings)
    for count in (3, 2000):
        append(client, [column(count)])
    readings = []
    for deaths in (2, 2):
        dying = run("aggregator", environ=environ(settings, f"after_commit:{deaths}"))
        wait_until(lambda dying=dying: dying.popen.poll() is not None, "it to exit", 60)
        assert client.hget(keys.meta(0), "progress")
        found = audit(client, settings)
        assert found.differences == []
        readings.append(found.readings)
    folding.aggregate(settings, client)
    found = audit(client, settings)
    assert (found.differences, found.readings) == ([], 2003 * METRICS)
    assert 3 * METRICS <= readings[0] < readings[1] < found.readings


def test_dead_entries_do_not_count(
    change: Callable[..., Settings],
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
):
    """Nor do those that were replayed since, except for the entries that were appended again."""
    settings = change(partitions=1)

    def faulty(*arguments: object) -> object:
        if 666.0 in arguments[3].values:  # type: ignore[attr-defined]
            raise ValueError("cannot be folded")
        return fold(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(together, "fold", faulty)
    grow(client, Random(2), 3)
    append(client, [Block("car-1", now_ms(), {"m0": value}) for value in (1.0, 666.0)])
    client.xadd(keys.readings(0), {"f": "foreign"})
    grow(client, Random(3), 3)
    folding.aggregate(settings, client)
    entries = [entry for entry in dead_letters.read(client, 0) if len(entry.fields) == 6]
    found = audit(client, settings)
    assert len(entries) >= 1
    assert (found.differences, found.since) == ([], None)
    monkeypatch.undo()
    assert dead_letters.replay(client, settings, entries)[0] >= 1
    folding.aggregate(settings, client)
    found = audit(client, settings)
    assert (found.differences, found.since) == ([], None)


def test_the_command_reports_differences_and_exits_1(
    change: Callable[..., Settings], client: redis.Redis, run: Run
):
    settings = change(partitions=2)
    redis_client.prepare(client, settings)
    grow(client, Random(4), 5)
    folding.aggregate(settings, client)
    arguments = msgspec.structs.replace(settings, partitions=7)  # those of the data count
    process = run("audit", environ=environ(arguments))
    assert process.end() == 0, process.text
    assert "partition 1   0 differences" in process.text
    device = client.zrange(keys.devices(0), 0, 0)[0]
    client.hdel(keys.latest(0), device)
    process = run("audit", "--partition", "0", "--hours", "1", "--json", environ=environ(settings))
    assert process.end() == 1
    found = json.loads(process.text)
    assert found["differences_found"] == len(found["partitions"][0]["differences"]) > 0
    assert found["partitions"][0]["differences"][0]["store"] == "latest"
    assert run("audit", "--partition", "2", environ=environ(settings)).end() == 2


def test_a_device_that_was_forgotten_everywhere_is_no_difference(
    change: Callable[..., Settings], client: redis.Redis, tmp_path: Path
):
    settings = change(partitions=1, history="off", data_dir=str(tmp_path))
    redis_client.prepare(client, settings)
    grow(client, Random(5), 12)
    forgetting.append(client, 0, ["car-1", "car-2"])
    grow(client, Random(6), 4)
    folding.aggregate(settings, client)
    found = audit(client, settings)
    assert (found.differences, found.since) == ([], None)
    assert forget_job.run(settings)["waiting"] == 0
    found = audit(client, settings)
    assert found.differences == []
    assert found.since is not None, "entries of other devices were deleted as well"
    grow(client, Random(7), 4)
    folding.aggregate(settings, client)
    assert audit(client, settings).differences == []
