"""The verbs of the stream for callers that use redis-py; the lane has its own connection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import redis
from redis.exceptions import NoScriptError

from tributary import faults, keys
from tributary.connection import failures
from tributary.lua import APPEND, SCRIPTS


def append(client: redis.Redis, frames: Iterable[tuple[int, int, bytes]], max_entries: int) -> None:
    """Add frames, given as (partition, readings, bytes), to their streams.

    Frames of one partition are added whole or not at all; of several, some may be.

    Raises:
        Unavailable: the server cannot take them now.
        ConnectionGone: whether they were added is not known.
    """
    faults.reach("before_append")
    calls = [
        (keys.readings(partition), keys.meta(partition), max_entries, readings, frame)
        for partition, readings, frame in frames
    ]
    with failures():
        replies = _append_all(client, calls)
        unknown = [i for i, r in enumerate(replies) if isinstance(r, NoScriptError)]
        if unknown:  # refused before anything was written, so sending again is safe
            for script in SCRIPTS:
                client.script_load(script.source)
            for i, reply in zip(
                unknown, _append_all(client, [calls[i] for i in unknown]), strict=True
            ):
                replies[i] = reply
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
    faults.reach("after_append")


def _append_all(client: redis.Redis, calls: list[tuple[str, str, int, int, bytes]]) -> list[Any]:
    pipeline = client.pipeline(transaction=False)
    for call in calls:
        pipeline.evalsha(APPEND.sha, 2, *call)
    return pipeline.execute(raise_on_error=False)
