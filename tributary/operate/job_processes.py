"""The processes of jobs of a deployment: their heartbeats."""

from __future__ import annotations

from typing import Any

import redis

from tributary.settings import Settings
from tributary.store import jobs_server, keys, scripts
from tributary.store.redis_client import failures

HEARTBEAT_MAX_MS = 10_000  # a process sends one every two seconds
_FORGET_MS = 60_000


def heartbeat(client: redis.Redis, process: str) -> None:
    """Record that a process is alive, with all its workers.

    Raises:
        TributaryError: Redis is unavailable.
    """
    command = scripts.heartbeat(process, forget_after_ms=_FORGET_MS, members=keys.JOBS)
    with failures():
        scripts.run(client, command)


def deregister(client: redis.Redis, process: str) -> None:
    """Remove the heartbeat of a process that stops.

    Raises:
        TributaryError: Redis is unavailable.
    """
    with failures():
        client.zrem(keys.JOBS, process)


def alive(settings: Settings) -> list[str]:
    """The ids of the processes with a recent heartbeat.

    Raises:
        Misconfigured: the queue would be on a Redis Cluster.
        TributaryError: Redis is unavailable.
    """
    with jobs_server.connected(settings) as client, failures():
        reply: Any = scripts.run(client, scripts.alive(keys.JOBS))
    ages = zip(reply[::2], reply[1::2], strict=True)
    return sorted(id_.decode() for id_, age_ms in ages if int(age_ms) <= HEARTBEAT_MAX_MS)
