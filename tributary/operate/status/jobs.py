"""Counts of the queue of jobs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
import redis

from tributary.errors import TributaryError
from tributary.operate.status.described import described
from tributary.settings import Settings
from tributary.store import jobs_server, keys, topology
from tributary.store.redis_client import failures

T = TypeVar("T")


class Jobs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The queue of jobs."""

    queued: Annotated[int, described("jobs that wait, including those to be retried later")]
    failed: Annotated[int, described("failed jobs that are kept; see `tributary jobs list`")]
    oldest_s: Annotated[float, described("how long the first job in the queue has waited")]


def count(client: redis.Redis) -> Jobs:
    """Count the jobs; `client` is that of the server with the queue.

    Raises:
        TributaryError: Redis is unavailable, or the user lacks a permission.
    """
    with failures():
        pipeline = client.pipeline(transaction=False)
        pipeline.llen(keys.QUEUED)
        pipeline.zcard(keys.SCHEDULED)
        pipeline.zcard(keys.FAILED)
        pipeline.lindex(keys.QUEUED, 0)
        pipeline.time()
        waiting, retried, failed, first, (seconds, micros) = pipeline.execute()
        queued_at: Any = first and client.hget(keys.job(first.decode()), "enqueued_at")
    age_s = 0.0
    if queued_at:
        age_s = seconds + micros / 1e6 - datetime.fromisoformat(queued_at.decode()).timestamp()
    return Jobs(waiting + retried, failed, max(0.0, round(age_s, 3)))


def of_deployment(client: redis.Redis, settings: Settings) -> Jobs | None:
    """The counts; None if the queue is unavailable, or missing on a Redis Cluster.

    Args:
        client: of the server or cluster with the readings.
        settings: those of the deployment.
    """
    return on_queue(client, settings, count)


def on_queue(client: redis.Redis, settings: Settings, read: Callable[[redis.Redis], T]) -> T | None:
    """What `read` returns, called with a client of the server with the queue; None as above."""
    if not settings.jobs_url and topology.is_cluster(client):
        return None
    try:
        if not settings.jobs_url:
            return read(client)
        with jobs_server.connected(settings) as own:
            return read(own)
    except TributaryError:
        return None
