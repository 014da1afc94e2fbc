"""The Redis that has the queue of jobs: the one at `jobs_url`, else that of the readings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec
import redis

from tributary.errors import Misconfigured
from tributary.settings import Settings
from tributary.store import redis_client, redis_url, topology


def url(settings: Settings) -> str:
    """Its address."""
    return settings.jobs_url or settings.redis_url


def connect(settings: Settings, **options: Any) -> redis.Redis:
    """A client of it.

    Raises:
        Misconfigured: it is a Redis Cluster, where rq does not run, or the URL is not valid.
        Unavailable: as `redis_client.connect`.
    """
    address, name = url(settings), "jobs_url" if settings.jobs_url else "redis_url"
    try:
        of_jobs = msgspec.structs.replace(settings, redis_url=address)
        client = redis_client.connect(of_jobs, **options)
    except Misconfigured as error:
        raise Misconfigured(str(error).replace("redis_url", name, 1)) from None
    if topology.is_cluster(client):
        client.close()
        raise Misconfigured(
            f"{name}={redis_url.redacted(address)} is a Redis Cluster, where jobs do not run: "
            "set TRIBUTARY_JOBS_URL to a Redis or Valkey that is not one; a small one is enough"
        )
    return client


@contextlib.contextmanager
def connected(settings: Settings) -> Iterator[redis.Redis]:
    """The same, closed afterwards."""
    with contextlib.closing(connect(settings)) as client:
        yield client
