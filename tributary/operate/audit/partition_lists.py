"""Reads what an audit compares of a partition as a whole: its counts, devices and documents."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import redis

from tributary.operate.audit.sequence import Sequence
from tributary.store import keys
from tributary.store.redis_client import failures


def compare_counts(client: redis.Redis, partition: int, sequence: Sequence) -> None:
    """Compare the counts of a partition with each other, and with what its stream lacks.

    Raises:
        Unavailable: Redis is.
    """
    with failures():
        transaction = client.pipeline(transaction=True)
        transaction.hgetall(keys.meta(partition))
        transaction.hget(keys.holes(partition), "entries")
        transaction.xrange(keys.readings(partition), count=1)
        meta, deleted, first = transaction.execute()
    sequence.end(meta, first[0][0] if first else None, int(deleted or 0))


def listed_devices(client: redis.Redis, partition: int) -> Iterator[str]:
    """The devices in the list of a partition.

    Raises:
        Unavailable: Redis is.
    """
    first = b"-"
    while True:
        with failures():
            page: Any = client.zrangebylex(keys.devices(partition), first, b"+", start=0, num=1_000)
        yield from (name.decode() for name in page)
        if not page:
            return
        first = b"(" + page[-1]


def unlisted_documents(client: redis.Redis, partition: int, seen: Collection[str]) -> Iterator[str]:
    """The names of documents that no device has, neither in the list nor in the readings `seen`.

    Raises:
        Unavailable: Redis is.
    """
    latest, devices = keys.latest(partition), keys.devices(partition)
    with failures():
        if client.hlen(latest) <= client.zcard(devices):
            return
        for name, _ in client.hscan_iter(latest, count=1_000):
            device = name.decode(errors="replace")
            if device in seen:
                continue
            # Again, since the device may have been added or forgotten during the audit.
            if client.zmscore(devices, [name]) == [None] and client.hmget(latest, [name]) != [None]:
                yield device
