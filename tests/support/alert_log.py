"""Logs transitions like a commit, and delivers them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from jobs.alerts.destination import destinations
from jobs.alerts.sender import Sender
from support.processes import Server
from tributary.model import alert
from tributary.model.alert import State, Transition
from tributary.settings import Settings
from tributary.store import keys
from tributary.store.links import Links


def logged(  # noqa: PLR0913 (fields)
    server: Server,
    settings: Settings,
    device: str,
    number: int,
    state: State = "firing",
    was: State = "ok",
) -> str:
    """Log a transition like a commit; its id."""
    id_ = alert.transition_id(device, "m", "high", state, number)
    partition = keys.partition_of(device, settings.partitions)
    transition = Transition(device, "m", "high", "info", state, was, number, 1.0, id_)
    last = server.client.hincrby(keys.meta(partition), "transitions", 1)
    server.client.zadd(keys.transitions(partition), {alert.encode(transition): last})
    server.client.hset(keys.rows(partition), f"{device}|m", "0")
    return id_


def deliver(settings: Settings, is_done: Callable[[], object]) -> None:
    """Run a sender until something has happened, and everything known is stored."""

    async def work() -> None:
        links = Links(settings, "test")
        await links.open()
        keeping = asyncio.create_task(links.keep())
        sending = asyncio.create_task(Sender(settings, links, destinations(settings)).run())
        try:
            async with asyncio.timeout(60):
                while not is_done():
                    assert not sending.done(), sending.result()
                    await asyncio.sleep(0.01)
        finally:
            for task in (sending, keeping):
                task.cancel()
            await asyncio.gather(sending, keeping, return_exceptions=True)

    asyncio.run(work())


def position(server: Server, settings: Settings, device: str) -> int:
    """How far the only destination is."""
    found = server.client.hvals(keys.delivered(keys.partition_of(device, settings.partitions)))
    return int(found[0]) if found else -1


def begin(server: Server, settings: Settings) -> None:
    """The first start, from which on everything is delivered."""
    deliver(settings, lambda: position(server, settings, "a") == 0)
