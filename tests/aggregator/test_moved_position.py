"""Something else reads from the consumer group, or sets it: each entry is still applied once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import redis
from support import folding

from aggregator import tenure
from aggregator.worker import Worker
from tributary.model.frame import Block, pack
from tributary.operate import status
from tributary.settings import Settings
from tributary.store import keys, redis_client

STREAM, META = keys.readings(0), keys.meta(0)


def append_and_read_elsewhere(client: redis.Redis, number: int, readers: int) -> None:
    """Append an entry, and deliver it to others before the owner, which waits for it."""
    fields: Any = {"e": number, "n": number, "r": pack([Block("d", number, {"m": 1.0})])}
    pipeline = client.pipeline(transaction=True)
    pipeline.hset(META, mapping={"entries": number, "accepted": number})
    pipeline.xadd(STREAM, fields)
    for reader in range(readers):
        pipeline.xreadgroup(keys.GROUP, f"other {reader}", {STREAM: ">"}, noack=reader % 2 == 0)
    pipeline.execute()


@pytest.mark.parametrize("move", ["ahead", "ahead, and more follows", "back"])
def test_each_entry_is_applied_once_when_the_position_is_moved(
    change: Callable[..., Settings], client: redis.Redis, monkeypatch: pytest.MonkeyPatch, move: str
):
    monkeypatch.setattr(tenure, "BLOCK_MS", 50)
    settings = change(partitions=1)
    redis_client.prepare(client, settings)

    async def applied(entries: int) -> None:
        async with asyncio.timeout(60):
            while int(client.hget(META, "done_entries") or 0) < entries:
                await asyncio.sleep(0.005)

    async def work() -> None:
        stop, worker = asyncio.Event(), Worker(settings)
        running = asyncio.create_task(worker.run(stop))
        client.xadd(STREAM, {"somebody": "else"})
        append_and_read_elsewhere(client, 1, readers=0)
        await applied(1)
        if move == "back":
            client.xgroup_setid(STREAM, keys.GROUP, "0")
        append_and_read_elsewhere(client, 2, readers=2 if "ahead" in move else 0)
        if "follows" in move:
            append_and_read_elsewhere(client, 3, readers=0)
        await applied(3 if "follows" in move else 2)
        stop.set()
        await running
        await asyncio.sleep(0.01)  # for the loop to release closed connections

    asyncio.run(work())
    found = status.read(client, settings)
    numbered = 3 if "follows" in move else 2
    assert (found.applied, found.lost, found.dead) == (numbered, 0, 1)
    assert int(folding.state(client, settings, "d", "m")["count"]) == numbered
