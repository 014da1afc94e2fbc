"""Partitions that change owners all the time: a worker keeps nothing beyond its tenure."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import redis
from support import folding

from aggregator.owned_rows import OwnedRows
from aggregator.worker import Worker
from tributary.model.aggregate import Layout
from tributary.model.frame import Block, pack
from tributary.settings import Settings
from tributary.store import keys, redis_client

PARTITIONS = 2
FLIPS = 1000


@pytest.fixture
def slow_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make loads slow, so that much happens while a turn waits."""
    load = OwnedRows.load

    async def slowly(self: OwnedRows, *names: Any) -> Any:
        await asyncio.sleep(random.choice((0, 0.002, 0.01)))
        return await load(self, *names)

    monkeypatch.setattr(OwnedRows, "load", slowly)


def append(client: redis.Redis, partition: int, number: int) -> None:
    frame = pack([Block(f"d{partition}", 1000 + number, {"m": float(number)})])
    folding.append_frame(client, partition, frame, 1)


def counted(client: redis.Redis, settings: Settings, partition: int) -> int:
    layout = Layout(settings.parsed_windows, settings.average_over)
    (found,) = folding.packed(client, settings, partition, [(f"d{partition}", "m")])
    return int(np.frombuffer(found.state, layout.state)[0]["count"]) if found.state else 0


@pytest.mark.parametrize("seed", range(3))
def test_counts_stay_exact_while_ownership_flips(
    change: Callable[..., Settings], client: redis.Redis, seed: int, slow_loads: None
):
    settings = change(partitions=PARTITIONS)
    redis_client.prepare(client, settings)
    chance = random.Random(seed)
    appended = [0] * PARTITIONS

    async def flip() -> None:
        workers = [Worker(settings) for _ in range(2)]
        cycles = [asyncio.create_task(worker._cycle.run()) for worker in workers]
        for _ in range(FLIPS):
            for worker in workers:
                # Each worker sees the other one or not, as heartbeats are missed.
                neighbours = {f"n{n}" for n in range(4) if chance.random() < 0.5}
                worker._assign({worker.id, *neighbours})
            for _ in range(chance.randint(0, 2)):
                partition = chance.randrange(PARTITIONS)
                append(client, partition, appended[partition])
                appended[partition] += 1
            await asyncio.sleep(chance.choice((0, 0.001, 0.003)))
        workers[0]._assign({workers[0].id})
        workers[1]._assign({workers[1].id, workers[0].id})
        async with asyncio.timeout(60):
            while any(
                int(client.hget(keys.meta(p), "done") or 0) < appended[p] for p in range(PARTITIONS)
            ):
                await asyncio.sleep(0.01)
        tasks = [*cycles, *(t for w in workers for t in w._owners.values())]
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(flip())
    assert [counted(client, settings, p) for p in range(PARTITIONS)] == appended


@pytest.mark.parametrize("cancellations", [1, 2, 3])
def test_a_released_partition_is_void_even_if_the_task_is_cancelled_again(
    change: Callable[..., Settings], client: redis.Redis, cancellations: int
):
    """Regression: a second cancellation kept rows for the next tenure, and the count was wrong."""
    settings = change(partitions=1)
    redis_client.prepare(client, settings)

    async def give_up() -> set[int]:
        worker = Worker(settings)
        holding = asyncio.create_task(worker._own(0))
        async with asyncio.timeout(60):
            while not client.exists(keys.meta(0)):
                await asyncio.sleep(0.001)
        for _ in range(cancellations):
            holding.cancel()
            await asyncio.sleep(0)
        with contextlib.suppress(asyncio.CancelledError):
            await holding
        return worker._cycle._void

    assert asyncio.run(give_up()) == {0}
