"""When requests are sent to Redis: at once when idle, and together under load."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from ingest import pace
from ingest.pace import Flush, Pace

NEVER_S = 3600.0


class Flushes:
    """Counts flushes; each sends one command."""

    def __init__(self) -> None:
        self.pace = Pace(self._flush)
        self.sent: list[Flush] = []

    def _flush(self) -> None:
        self.sent.append(self.pace.sent(1))


async def ticks() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def run(check: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await check

    asyncio.run(bounded())


def test_an_idle_server_does_not_wait(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pace, "GATHER_MAX_S", NEVER_S)

    async def check() -> None:
        flushes = Flushes()
        for number in range(1, 4):
            flushes.pace.plan()
            flushes.pace.plan()  # another request of the same tick
            await ticks()
            assert len(flushes.sent) == number
            flushes.pace.replied(flushes.sent[-1])

    run(check())


def test_requests_gather_until_redis_has_replied(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pace, "GATHER_MAX_S", NEVER_S)

    async def check() -> None:
        flushes = Flushes()
        for _ in range(5):
            flushes.pace.plan()
            await ticks()
        assert len(flushes.sent) == 2
        flushes.pace.replied(flushes.sent[-1])
        await ticks()
        assert len(flushes.sent) == 3
        assert not flushes.pace.is_due

    run(check())


def test_requests_do_not_wait_for_a_server_that_does_not_reply():
    async def check() -> None:
        flushes = Flushes()
        for number in range(1, 4):
            flushes.pace.plan()
            while len(flushes.sent) < number:
                await asyncio.sleep(0.001)
        flushes.pace.replied(flushes.sent[0])  # the others are still in flight
        flushes.pace.plan()
        await asyncio.sleep(0)
        assert flushes.pace.is_due

    run(check())


@pytest.mark.parametrize("commands", [0, 1, 2])
def test_a_flush_that_sends_nothing_or_fails_at_once_does_not_make_the_next_wait(
    monkeypatch: pytest.MonkeyPatch, commands: int
):
    monkeypatch.setattr(pace, "GATHER_MAX_S", NEVER_S)

    async def check() -> None:
        flushed = 0

        def flush() -> None:
            nonlocal flushed
            flushed += 1
            sent = subject.sent(commands)
            for _ in range(commands):  # the connection is closed: each has an error
                subject.replied(sent)

        subject = Pace(flush)
        for expected in (1, 2, 3):
            subject.plan()
            await ticks()
            assert flushed == expected

    run(check())
