"""What is due of the jobs of the schedule.

The schedule asks every few seconds, in a process of its own: nothing here imports numpy or the
database.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

import redis

from tributary.model import clock
from tributary.settings import Settings
from tributary.store import keys, redis_client
from tributary.store.redis_client import failures

_ALL_EVERY_S = 600.0
_FIELDS = ("hwm", "archived_id", "done_entries", "archived_entries")
_DAY_MS = 86_400_000
_all_at_s = -_ALL_EVERY_S  # monotonic clock


def archive(settings: Settings) -> list[tuple[int]]:
    """The partitions whose aggregates are ahead of the position that the last job published.

    Every ten minutes, and first of all, each that has entries: the database may be another one.
    Then also the first partition, so that the database exists before the first reading.

    Raises:
        Unavailable: Redis is.
    """
    global _all_at_s
    if settings.history == "off":
        return []
    with contextlib.closing(redis_client.connect(settings)) as client:
        found = _of_partitions(
            client, settings, lambda pipeline, p: pipeline.hmget(keys.meta(p), *_FIELDS)
        )
    now_s = time.monotonic()
    takes_all = now_s - _all_at_s >= _ALL_EVERY_S
    if takes_all:
        _all_at_s = now_s
    return [
        (partition,)
        for partition, (hwm, archived_id, done, archived) in enumerate(found)
        if (takes_all and (partition == 0 or done is not None))
        or (done is not None and (hwm, done) != (archived_id, archived))
    ]


def compact(settings: Settings) -> list[tuple[int]]:
    """Every partition if there are raw readings."""
    if not settings.raw_dir or settings.history == "off":
        return []
    return [(partition,) for partition in range(settings.partitions)]


def retention(settings: Settings) -> list[tuple[()]]:
    """One job, unless there is no history."""
    return [] if settings.history == "off" else [()]


def audit(settings: Settings) -> list[tuple[int]]:
    """Tonight's partition: each night the next one."""
    return [(clock.utc_ms() // _DAY_MS % settings.partitions,)]


def forget(settings: Settings) -> list[tuple[()]]:
    """One job, if a tombstone is not finished.

    Raises:
        Unavailable: Redis is.
    """
    with contextlib.closing(redis_client.connect(settings)) as client:
        found = _of_partitions(
            client, settings, lambda pipeline, p: pipeline.exists(keys.forgets(p), keys.holes(p))
        )
    return [()] if any(found) else []


def _of_partitions(client: redis.Redis, settings: Settings, command: Any) -> list[Any]:
    """The replies to a command for each partition."""
    with failures():
        pipeline = client.pipeline(transaction=False)
        for partition in range(settings.partitions):
            command(pipeline, partition)
        return list(pipeline.execute())
