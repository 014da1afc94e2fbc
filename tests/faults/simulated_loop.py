"""An event loop with a simulated clock: it never waits, but jumps to the time of the next timer.

So a minute takes milliseconds, and what happens depends on the seed alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import secrets
import selectors
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest

from aggregator import pace
from tributary.model import catalogue

BEGIN_S = 1_800_000_000.0  # UTC, of every simulation


# Parsing it takes as long as the rest of a short history.
_catalogue = functools.cache(catalogue.load)


class DeadlockError(Exception):
    """Every task waits for something that nothing will do."""


class _NeverWaiting(selectors.SelectSelector):
    """Advances the clock instead of waiting; no file is ever ready."""

    def __init__(self, advance: Callable[[float], None]) -> None:
        super().__init__()
        self._advance = advance

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise DeadlockError("every task waits, and no timer is set")
        self._advance(timeout)
        return []


class Connects(Protocol):
    """What opens the connections of the loop."""

    def connect(self, factory: Callable[[], asyncio.Protocol]) -> Any:
        """A transport and its protocol, as `create_connection` returns them."""


class SimulatedLoop(asyncio.SelectorEventLoop):
    """A loop whose time and connections are simulated."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.network: Connects | None = None
        super().__init__(_NeverWaiting(self._advance))

    def time(self) -> float:
        """Seconds since the simulation began."""
        return self.now_s

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Any = None
    ) -> Any:
        """There are no threads."""
        return self.call_soon(callback, *args, context=context)

    async def create_unix_connection(  # type: ignore[override]
        self, factory: Any, *_: Any, **__: Any
    ) -> Any:
        """Connect to the server of the simulated network."""
        assert self.network is not None
        await asyncio.sleep(0)
        return self.network.connect(factory)

    def _advance(self, seconds: float) -> None:
        self.now_s += max(0.0, seconds)


class SimulatedThread:
    """In place of a thread that runs `asyncio.run(owner._send())`: a task of the loop."""

    def __init__(self, target: Callable[[], None], **_: Any) -> None:
        self._owner: Any = target.__self__  # type: ignore[attr-defined]

    def start(self) -> None:
        """Start the task."""
        task = asyncio.get_running_loop().create_task(self._owner._send())
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._owner._end(None if task.cancelled() else task.exception())


@contextlib.contextmanager
def simulated(seed: int) -> Iterator[SimulatedLoop]:
    """A loop, and this process with its clock, and with random numbers from the seed."""
    loop, chance = SimulatedLoop(), random.Random(seed)

    def wall_ns() -> int:
        return int((BEGIN_S + loop.now_s) * 1e9)

    def token(size: int = 16) -> str:
        return chance.randbytes(size).hex()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time_ns", wall_ns)
        patch.setattr(time, "time", lambda: BEGIN_S + loop.now_s)
        patch.setattr(time, "monotonic", lambda: loop.now_s)
        patch.setattr(time, "thread_time", lambda: 0.0)
        patch.setattr(secrets, "token_hex", token)
        patch.setattr(random, "random", chance.random)
        patch.setattr(catalogue, "load", _catalogue)
        # Turns so short that most reads take several, and large entries step aside.
        patch.setattr(pace, "VALUES_MIN", 4)
        patch.setattr(pace, "VALUES_MAX", 64)
        patch.setattr(pace, "NEW_SERIES_MAX", 3)
        patch.setattr(threading, "Thread", SimulatedThread)
        try:
            yield loop
        finally:
            loop.close()
