"""Streams for tests of exports."""

from __future__ import annotations

from typing import Any

import redis

from tributary.store import keys


def append(client: redis.Redis, frame: bytes, readings: int, entries: int) -> None:
    """Append the frame several times to partition 0, as if the entries were applied."""
    first = int(client.hget(keys.meta(0), "entries") or 0) + 1
    pipeline = client.pipeline(transaction=False)
    for number in range(first, first + entries):
        fields: Any = {"e": number, "n": number * readings, "r": frame}
        pipeline.xadd(keys.readings(0), fields)
    last = pipeline.execute()[-1]
    total = first + entries - 1
    client.hset(keys.meta(0), mapping={"entries": total, "done_entries": total, "hwm": last})
