"""Heartbeats go on while the event loop of an aggregator is busy, and stop if it is stuck."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest
import redis
from support.processes import Server
from support.waiting import wait_until

from aggregator import heartbeats
from aggregator.heartbeats import Heartbeats, Members
from tributary.errors import Misconfigured
from tributary.settings import Settings
from tributary.store import keys
from tributary.store.membership import MISSED_HEARTBEATS
from tributary.store.outage import Outage

INTERVAL_MS = 50
BUSY_S = 1.0


def while_busy(client: redis.Redis, settings: Settings) -> tuple[int, int]:
    """How many heartbeats a worker sends while its loop is busy, and their greatest age in ms."""
    ages: list[int] = []
    beats: set[float] = set()

    def busy() -> None:
        until_s = time.monotonic() + BUSY_S
        while time.monotonic() < until_s:  # holds the interpreter's lock as often as it may
            pass

    def watch(stop: threading.Event) -> None:
        while not stop.wait(0.01):
            beaten_ms = client.zscore(keys.WORKERS, "w")
            seconds, micros = client.time()
            assert isinstance(beaten_ms, float)
            beats.add(beaten_ms)
            ages.append(seconds * 1000 + micros // 1000 - int(beaten_ms))

    async def run() -> None:
        first = asyncio.Event()
        beating = Heartbeats("w", settings, lambda _: first.set(), Outage("redis"))
        task = asyncio.create_task(beating.run())
        await first.wait()
        stop = threading.Event()
        watcher = threading.Thread(target=watch, args=(stop,))
        watcher.start()
        busy()
        stop.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        watcher.join()

    asyncio.run(run())
    return len(beats), max(ages)


def test_a_busy_worker_is_not_taken_for_a_dead_one(
    change: Callable[..., Settings], client: redis.Redis
):
    beats, _ = while_busy(client, change(heartbeat_ms=INTERVAL_MS))
    assert beats > 2  # the last one before, and those by the thread


def test_a_stuck_worker_is(
    change: Callable[..., Settings], client: redis.Redis, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(heartbeats, "STUCK_S", 0.2)
    settings = change(heartbeat_ms=INTERVAL_MS)
    _, oldest_ms = while_busy(client, settings)
    assert oldest_ms > MISSED_HEARTBEATS * settings.heartbeat_ms


def test_heartbeats_go_on_after_a_long_outage(
    own_server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(heartbeats, "STUCK_S", 0.2)
    server, received = own_server(), list[Members]()
    settings = Settings(redis_url=server.url, heartbeat_ms=20)

    async def until_received(count: int) -> None:
        async with asyncio.timeout(30):
            while len(received) < count:
                await asyncio.sleep(0.01)

    async def run() -> None:
        beating = Heartbeats("w", settings, received.append, Outage("redis"))
        task = asyncio.create_task(beating.run())
        await until_received(3)
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(3 * heartbeats.STUCK_S)
        await asyncio.to_thread(server.start)
        await until_received(len(received) + 3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def test_nothing_is_sent_after_a_worker_is_cancelled(
    change: Callable[..., Settings], client: redis.Redis
):
    settings, received = change(heartbeat_ms=20), list[Members]()

    async def run() -> None:
        task = asyncio.create_task(
            Heartbeats("w", settings, received.append, Outage("redis")).run()
        )
        while len(received) < 3:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    client.zrem(keys.WORKERS, "w")
    wait_until(lambda: "heartbeats" not in {t.name for t in threading.enumerate()}, "its end")
    assert client.zscore(keys.WORKERS, "w") is None
    assert received[-1].ages_ms["w"] == 0


def test_an_error_reaches_the_loop(change: Callable[..., Settings], client: redis.Redis):
    def fail(_: Members) -> None:
        raise LookupError("a bug")

    settings = change(heartbeat_ms=20)
    with pytest.raises(LookupError, match="a bug"):
        asyncio.run(Heartbeats("w", settings, fail, Outage("redis")).run())
    wrong = change(redis_url="http://127.0.0.1")
    with pytest.raises(Misconfigured):
        asyncio.run(Heartbeats("w", wrong, fail, Outage("redis")).run())
