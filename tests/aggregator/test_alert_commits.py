"""Alerts in the commits of a real worker: states, the log, silence, changed rules, forgetting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import redis
from support import forgetting
from support.folding import aggregate, append
from support.processes import Server

from aggregator.alerts import watch
from aggregator.worker import Worker
from tributary.model import alert
from tributary.model.alert import Transition
from tributary.model.clock import utc_ms
from tributary.model.frame import Block
from tributary.operate import alert_states
from tributary.settings import Settings
from tributary.store import keys, redis_client, scripts

RULES = """
[temperature.alerts.high]
above = 100
clear_below = 90
severity = "critical"
[temperature.alerts.warm]
above = 50
for = "10s"
[temperature.alerts.silent]
stale_for = "1h"
[humidity]
unit = "%"
"""
HOUR_MS = 3_600_000


@pytest.fixture
def settings(server: Server, tmp_path: Path) -> Settings:
    server.client.flushall()
    file = tmp_path / "rules.toml"
    file.write_text(RULES)
    return Settings(redis_url=server.url, partitions=2, metrics_file=str(file))


def with_rules(settings: Settings, text: str) -> Settings:
    Path(settings.metrics_file).write_text(text)
    return settings


def send(server: Server, settings: Settings, device: str, *readings: tuple[int, float]) -> None:
    """Record temperatures at times, and wait until they are applied."""
    for time_ms, value in readings:
        append(server.client, settings, [Block(device, time_ms, {"temperature": value})])
    aggregate(settings, server.client)


def log(client: redis.Redis, settings: Settings) -> list[Transition]:
    """The transitions of all partitions; their numbers are complete."""
    found: list[Transition] = []
    for partition in range(settings.partitions):
        read = client.pipeline()  # a transaction, because a worker may be running
        read.zrange(keys.transitions(partition), 0, -1, withscores=True)
        read.hget(keys.meta(partition), "transitions")
        held, logged = read.execute()
        assert [number for _, number in held] == list(range(1, int(logged or 0) + 1))
        found += [alert.parse_transition(member) for member, _ in held]
    assert len({each.id for each in found}) == len(found)
    return found


def steps(client: redis.Redis, settings: Settings) -> list[tuple[str, str, str]]:
    return sorted((t.device, t.rule, t.state) for t in log(client, settings))


def states(client: redis.Redis, settings: Settings) -> dict[tuple[str, str], str]:
    found, following = alert_states.page(
        client, settings.partitions, alert_states.Place(), 1_000_000
    )
    assert following is None
    return {(each.device, each.rule): each.state.state for each in found}


def run_until(settings: Settings, client: redis.Redis, is_done: Callable[[], bool]) -> None:
    """Run a worker until something has happened."""
    redis_client.prepare(client, settings)

    async def work() -> None:
        stop, worker = asyncio.Event(), Worker(settings)
        running = asyncio.create_task(worker.run(stop))
        async with asyncio.timeout(90):
            while not is_done():
                assert not running.done()
                await asyncio.sleep(0.02)
        stop.set()
        await running

    asyncio.run(work())


def test_states_and_transitions_are_written_and_go_on_after_a_restart(
    server: Server, settings: Settings
):
    now_ms = utc_ms() - 60_000
    send(server, settings, "car", (now_ms, 60.0), (now_ms + 5_000, 120.0))
    assert states(server.client, settings) == {
        ("car", "high"): "firing",
        ("car", "warm"): "pending",
    }
    send(server, settings, "car", (now_ms + 10_000, 95.0))  # a new worker
    assert states(server.client, settings)["car", "warm"] == "firing"
    # Late: not evaluated.
    send(server, settings, "car", (now_ms + 1_000, 0.0), (now_ms + 20_000, 40.0))
    assert states(server.client, settings) == {}
    assert [(t.rule, t.was, t.state, t.since_ms - now_ms, t.value)
            for t in log(server.client, settings)] == [
        ("warm", "ok", "pending", 0, 60.0),
        ("high", "ok", "firing", 5_000, 120.0),
        ("warm", "pending", "firing", 10_000, 95.0),
        ("high", "firing", "ok", 20_000, 40.0),
        ("warm", "firing", "ok", 20_000, 40.0),
    ]  # fmt: skip


def test_series_without_rules_write_nothing_of_alerts(server: Server, settings: Settings):
    block = Block("car", utc_ms(), {"humidity": 120.0})
    append(server.client, settings, [block])
    aggregate(settings, server.client)
    assert log(server.client, settings) == []
    assert not [key for p in (0, 1) for key in (keys.due(p), keys.alerts(p))
                if server.client.exists(key)]  # fmt: skip


def test_silence_fires_once_and_ends_with_the_next_reading(server: Server, settings: Settings):
    now_ms = utc_ms()
    send(server, settings, "old", (now_ms - 2 * HOUR_MS, 20.0))
    send(server, settings, "new", (now_ms, 20.0))
    run_until(settings, server.client, lambda: bool(states(server.client, settings)))
    run_until(settings, server.client, lambda: True)
    (fired,) = log(server.client, settings)
    assert (fired.device, fired.rule, fired.was, fired.state) == ("old", "silent", "ok", "firing")
    assert (fired.since_ms, fired.value) == (now_ms - HOUR_MS, 20.0)
    # It records again: first what is itself too old, which ends nothing.
    send(server, settings, "old", (now_ms - HOUR_MS - 60_000, 21.0))
    assert states(server.client, settings) == {("old", "silent"): "firing"}
    send(server, settings, "old", (now_ms, 21.0))
    assert steps(server.client, settings) == [("old", "silent", "firing"), ("old", "silent", "ok")]
    partition = keys.partition_of("old", settings.partitions)
    due = server.client.zscore(keys.due(partition), "old|temperature")
    assert due == now_ms + HOUR_MS


def test_silence_is_found_of_series_that_are_not_in_memory(
    server: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(watch, "SERIES_PER_LOOK", 7)
    now_ms, names = utc_ms(), [f"car-{n}" for n in range(30)]
    for name in names:
        append(server.client, settings, [Block(name, now_ms, {"temperature": 20.0})])
    aggregate(settings, server.client)
    for partition in (0, 1):  # as if they had recorded two hours ago
        for name in server.client.hkeys(keys.rows(partition)):
            server.client.zadd(keys.due(partition), {name: now_ms - HOUR_MS})
    rules = with_rules(settings, RULES.replace("1h", "1s"))
    run_until(rules, server.client, lambda: len(states(server.client, settings)) == len(names))
    assert steps(server.client, settings) == [(name, "silent", "firing") for name in sorted(names)]


def test_readings_that_wait_are_not_taken_for_silence(server: Server, settings: Settings):
    now_ms = utc_ms()
    send(server, settings, "car", (now_ms - 2 * HOUR_MS, 20.0))
    partition = keys.partition_of("car", settings.partitions)
    # An entry that arrived before the series became stale, and was not applied.
    server.client.hset(keys.meta(partition), "hwm", "0-1")
    assert server.client.xlen(keys.readings(partition)) == 1
    as_of_ms, *_ = scripts.run(server.client, scripts.due_series(partition, count=5))
    (entry, _) = server.client.xrange(keys.readings(partition))[0]
    assert as_of_ms == int(entry.partition(b"-")[0])


def test_rules_that_are_added_apply_to_silent_series_and_removed_ones_end(
    server: Server, settings: Settings
):
    now_ms = utc_ms()
    with_rules(settings, "[temperature.alerts.high]\nabove = 100")
    send(server, settings, "hot", (now_ms - HOUR_MS, 120.0))
    with_rules(settings, "[temperature.alerts.silent]\nstale_for = '30m'")
    run_until(settings, server.client, lambda: len(log(server.client, settings)) == 3)
    assert steps(server.client, settings) == [
        ("hot", "high", "firing"), ("hot", "high", "ok"), ("hot", "silent", "firing"),
    ]  # fmt: skip
    with_rules(settings, "[temperature]\nunit = 'degC'")
    run_until(settings, server.client, lambda: not states(server.client, settings))
    assert steps(server.client, settings)[-1] == ("hot", "silent", "ok")

    def digests() -> list[bytes | None]:
        return [server.client.hget(keys.meta(p), "alert_rules") for p in (0, 1)]

    run_until(settings, server.client, lambda: digests() == [b"", b""])


def test_a_forgotten_device_leaves_no_alert(server: Server, settings: Settings):
    now_ms = utc_ms()
    one = msgspec.structs.replace(settings, partitions=1)
    server.client.flushall()
    send(server, one, "gone", (now_ms, 120.0))
    send(server, one, "kept", (now_ms, 120.0))
    forgetting.append(server.client, 0, ("gone",))
    aggregate(one, server.client)
    held = server.client.zrange(keys.transitions(0), 0, -1)
    assert {alert.parse_transition(member).device for member in held} == {"kept"}
    assert server.client.hkeys(keys.alerts(0)) == [b"kept|temperature"]
    assert server.client.zrange(keys.due(0), 0, -1) == [b"kept|temperature"]


def test_the_log_keeps_the_newest_transitions(
    server: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(alert, "LOGGED_MAX", 3)
    now_ms = utc_ms()
    readings = [(now_ms + n, 120.0 * (n % 2)) for n in range(9)]
    send(server, settings, "car", *readings)
    key = keys.transitions(keys.partition_of("car", settings.partitions))
    numbers = [number for _, number in server.client.zrange(key, 0, -1, withscores=True)]
    logged = int(numbers[-1])
    assert logged > 8
    assert numbers == [logged - 2, logged - 1, logged]
