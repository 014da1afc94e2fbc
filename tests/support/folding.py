"""A worker in the process of the test, and entries for it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import numpy as np
import redis

from aggregator.worker import Worker
from tributary.model.aggregate import Layout
from tributary.model.frame import Block, pack, readings_in
from tributary.settings import Settings
from tributary.store import keys, redis_client, scripts


def append(client: redis.Redis, settings: Settings, blocks: list[Block]) -> bytes:
    """Append an entry to the partition of the first device, numbered like append.lua; its id."""
    partition = keys.partition_of(str(blocks[0].device), settings.partitions)
    return append_packed(client, partition, pack(blocks), readings_in(blocks))


def append_packed(client: redis.Redis, partition: int, packed: bytes, readings: int) -> bytes:
    """Append an entry with these bytes; its id."""
    entry = client.hincrby(keys.meta(partition), "entries", 1)
    accepted = client.hincrby(keys.meta(partition), "accepted", readings)
    fields: Any = {"e": entry, "n": accepted, "r": packed}
    return bytes(client.xadd(keys.readings(partition), fields))


def append_frame(client: redis.Redis, partition: int, packed: bytes, readings: int) -> list[int]:
    """Append an entry with append.lua; its number and that of its last reading."""
    limits = {"max_entries": "1000000", "unread_max": "0"}
    command = scripts.append([(partition, readings, packed)], **limits)
    numbers: list[int] = scripts.run(client, command)
    return numbers


def aggregate(settings: Settings, client: redis.Redis) -> None:
    """Run a worker until every entry is accounted for."""
    redis_client.prepare(client, settings)

    async def work() -> None:
        stop, worker = asyncio.Event(), Worker(settings)
        running = asyncio.create_task(worker.run(stop))
        async with asyncio.timeout(90):
            while behind(client, settings) and not running.done():
                await asyncio.sleep(0.005)
        stop.set()
        await running
        await asyncio.sleep(0.01)  # for the loop to release closed connections

    asyncio.run(work())


def behind(client: redis.Redis, settings: Settings) -> bool:
    """Whether an entry is pending or not accounted for."""
    for partition in range(settings.partitions):
        counts = client.hmget(keys.meta(partition), "entries", "done_entries", "begun_entry")
        entries, done, begun = (int(count or 0) for count in counts)
        if entries > done or begun:
            return True
    return False


def state(client: redis.Redis, settings: Settings, device: str, metric: str) -> np.void:
    """The stored state of a series."""
    layout = Layout(settings.parsed_windows, settings.average_over)
    partition = keys.partition_of(device, settings.partitions)
    packed = client.hget(keys.state(partition), keys.series(device, metric))
    return np.frombuffer(packed, layout.state)[0]


def latest(client: redis.Redis, settings: Settings, device: str) -> dict[str, Any]:
    """The stored response of /collect for a device."""
    partition = keys.partition_of(device, settings.partitions)
    found: dict[str, Any] = msgspec.json.decode(client.hget(keys.latest(partition), device))
    return found
