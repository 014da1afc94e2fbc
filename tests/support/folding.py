"""A worker in the process of the test, and entries for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np
import redis

from aggregator.worker import Worker
from tributary.model.aggregate import Layout
from tributary.model.frame import Block, pack, readings_in
from tributary.model.rows import Shape
from tributary.settings import Settings
from tributary.store import keys, redis_client, scripts, series
from tributary.store.series import Packed


def append(client: redis.Redis, settings: Settings, blocks: list[Block]) -> bytes:
    """Append an entry to the partition of the first device, numbered like append.lua; its id."""
    partition = keys.partition_of(str(blocks[0].device), settings.partitions)
    return append_packed(client, partition, pack(blocks), readings_in(blocks))


def append_packed(client: redis.Redis, partition: int, packed: bytes, readings: int) -> bytes:
    """Append an entry with these bytes; its id."""
    with client.pipeline(transaction=False) as pipe:
        pipe.hincrby(keys.meta(partition), "entries", 1)
        pipe.hincrby(keys.meta(partition), "accepted", readings)
        entry, accepted = pipe.execute()
    fields: Any = {"e": entry, "n": accepted, "r": packed}
    return bytes(client.xadd(keys.readings(partition), fields))


def append_frame(client: redis.Redis, partition: int, packed: bytes, readings: int) -> list[int]:
    """Append an entry with append.lua; its number and that of its last reading."""
    limits = {"max_entries": "1000000", "unread_max": "0"}
    command = scripts.append([(partition, readings, packed)], **limits)
    numbers: list[int] = scripts.run(client, command)
    return numbers


def aggregate(
    settings: Settings, client: redis.Redis, until: Callable[[], bool] = lambda: True
) -> None:
    """Run a worker until every entry is accounted for, and `until` is true."""
    redis_client.prepare(client, settings)

    async def work() -> None:
        stop, worker = asyncio.Event(), Worker(settings)
        running = asyncio.create_task(worker.run(stop))
        async with asyncio.timeout(90):
            while (behind(client, settings) or not until()) and not running.done():
                await asyncio.sleep(0.005)
        stop.set()
        await running
        await asyncio.sleep(0.01)  # for the loop to release closed connections

    asyncio.run(work())


def behind(client: redis.Redis, settings: Settings) -> bool:
    """Whether an entry is not accounted for, or one that append did not write lies ahead."""
    partitions = range(settings.partitions)
    with client.pipeline(transaction=False) as pipe:
        for partition in partitions:
            pipe.hmget(keys.meta(partition), "hwm", "entries", "done_entries", "begun_entry")
        metas = pipe.execute()
        for partition, (hwm, *fields) in zip(partitions, metas, strict=True):
            entries, done, begun = (int(count or 0) for count in fields)
            if entries > done or begun:
                return True
            pipe.xrange(keys.readings(partition), "(" + (hwm or b"0-0").decode(), count=1)
        return any(pipe.execute())


def state(client: redis.Redis, settings: Settings, device: str, metric: str) -> np.void:
    """The aggregates of a series, without its rings."""
    partition = keys.partition_of(device, settings.partitions)
    (found,) = packed(client, settings, partition, [(device, metric)])
    assert found.state is not None
    return np.frombuffer(found.state, shape_of(settings).layout.state)[0]


def shape_of(settings: Settings) -> Shape:
    """The shape of the rows of a deployment."""
    return Shape(Layout(settings.parsed_windows, settings.average_over))


def packed(
    client: redis.Redis, settings: Settings, partition: int, names: Iterable[tuple[str, str]]
) -> list[Packed]:
    """The aggregates of series of a partition."""
    return series.read(client, shape_of(settings), partition, names).series


def states(client: redis.Redis, settings: Settings, partition: int) -> dict[str, np.void]:
    """The aggregates of all series of a partition, without their rings."""
    names = sorted(name.decode() for name in client.hkeys(keys.rows(partition)))
    found = packed(client, settings, partition, (split(name) for name in names))
    record = shape_of(settings).layout.state
    return {
        name: np.frombuffer(each.state or b"", record)[0]
        for name, each in zip(names, found, strict=True)
    }


def split(name: str) -> tuple[str, str]:
    """Device and metric of a field."""
    device, _, metric = name.partition("|")
    return device, metric


def latest(client: redis.Redis, settings: Settings, device: str) -> dict[str, Any]:
    """The stored response of /collect for a device."""
    partition = keys.partition_of(device, settings.partitions)
    found: dict[str, Any] = msgspec.json.decode(client.hget(keys.latest(partition), device))
    return found
