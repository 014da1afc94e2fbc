"""How long commits take, and how fresh `/collect` is: histograms of the whole deployment.

The time in the id of an entry is that of Redis, so its clock is compared with that of this process
whenever the counts are added to Redis. In a cluster this is the clock of one node: the others may
differ by what their clocks do.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Sequence

from tributary.errors import (
    ConnectionGone,
    Misconfigured,
    NotPermitted,
    TributaryError,
    Unavailable,
)
from tributary.store import keys
from tributary.store.histogram import COMMITS, FRESHNESS
from tributary.store.outage import Outage
from tributary.store.pipe import Pipe, checked
from tributary.store.topology import Nodes

_FLUSH_EVERY_S = 1.0
_REPLY_TIMEOUT_S = 5.0


class Timings:
    """The counts of one aggregator since it last added them to Redis."""

    def __init__(self) -> None:
        self._new: Counter[str] = Counter()
        self._ahead_s = 0.0  # the clock of Redis
        self._outage = Outage("redis (timings)")

    def committed(self, took_s: float, ids: Sequence[bytes]) -> None:
        """Count a commit, and the entries that it has made visible, in order."""
        COMMITS.add(self._new, "commit", took_s)
        if ids:
            now_s = time.time() + self._ahead_s
            self._add(ids, _age_s(ids[0], now_s), _age_s(ids[-1], now_s), now_s)

    def _add(self, ids: Sequence[bytes], first_s: float, last_s: float, now_s: float) -> None:
        """Add the ages of entries in order; one by one they would cost more than their commit."""
        if len(ids) == 1 or FRESHNESS.bucket(first_s) == FRESHNESS.bucket(last_s):
            FRESHNESS.add(self._new, "freshness", (first_s + last_s) / 2, len(ids))
            return
        half = len(ids) // 2
        self._add(ids[:half], first_s, _age_s(ids[half - 1], now_s), now_s)
        self._add(ids[half:], _age_s(ids[half], now_s), last_s, now_s)

    async def run(self, nodes: Nodes) -> None:
        """Add the counts to Redis every second until cancelled.

        Raises:
            Misconfigured: the URL of Redis cannot be used.
        """
        while True:
            try:
                with contextlib.closing(await nodes.open(keys.TIMINGS)) as pipe:
                    while True:
                        await self._flush(pipe)
                        self._outage.end()
                        await asyncio.sleep(_FLUSH_EVERY_S)
            except Misconfigured:
                raise
            except TributaryError as error:
                # That Redis is unavailable is logged by what depends on it.
                if isinstance(error, NotPermitted) or not isinstance(error, Unavailable):
                    self._outage.begin(error)
                await asyncio.sleep(_FLUSH_EVERY_S)

    async def _flush(self, pipe: Pipe) -> None:
        new, self._new = self._new, Counter()
        commands = [("HINCRBY", keys.TIMINGS, field, str(n)) for field, n in new.items()]
        began_s = time.time()
        try:
            async with asyncio.timeout(_REPLY_TIMEOUT_S):
                seconds, micros = await pipe.call("TIME")
                self._ahead_s = int(seconds) + int(micros) / 1e6 - (began_s + time.time()) / 2
                for reply in await asyncio.gather(*(pipe.request(*each) for each in commands)):
                    checked(reply)
        # Some may have been added before the error: then they are counted twice.
        except TimeoutError:
            self._new += new
            raise ConnectionGone(f"no reply from Redis in {_REPLY_TIMEOUT_S} s") from None
        except TributaryError:
            self._new += new
            raise


def _age_s(id_: bytes, now_s: float) -> float:
    return max(0.0, now_s - int(id_.partition(b"-")[0]) / 1000)
