"""The aggregator as a process."""

from __future__ import annotations

import asyncio
import signal

import uvloop

from aggregator.worker import Worker
from tributary import failpoints
from tributary.settings import Settings
from tributary.store import redis_client


def run(settings: Settings) -> None:
    """Aggregate until SIGTERM or SIGINT.

    Raises:
        Misconfigured: the server does not fit these settings, or cannot be reached at start.
    """
    failpoints.arm(settings.fail)
    redis_client.wait_and_prepare(settings)
    uvloop.run(_run(settings))


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await Worker(settings).run(stop)
