"""The record of the aggregator role."""

from __future__ import annotations

import asyncio
import gc
import signal
from typing import TYPE_CHECKING

from tributary.operate import status
from tributary.process.role import WorkerRole
from tributary.settings import Settings

if TYPE_CHECKING:
    import redis

# A turn makes up to some 100,000 containers that live until its commit is sent. By default,
# collecting cycles among them, of which there are none, takes a third of the time.
_GC_ALLOCATIONS = 200_000


def _run(settings: Settings) -> None:
    import uvloop

    from aggregator.worker import Worker

    async def work() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        gc.set_threshold(_GC_ALLOCATIONS, 10, 10)
        await Worker(settings).run(stop)

    uvloop.run(work())


def _is_ready(client: redis.Redis, settings: Settings) -> bool:
    return len(status.aggregators_alive(client, settings)) >= settings.aggregators


ROLE = WorkerRole(
    "aggregator",
    description="Aggregate until SIGTERM. Start any number: they share the partitions.",
    example="tributary aggregator --redis-url redis://redis:6379/0",
    run=_run,
    processes=lambda settings: settings.aggregators,
    is_ready=_is_ready,
)
