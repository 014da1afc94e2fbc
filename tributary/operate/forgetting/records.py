"""The records of tombstones that are not finished."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import redis

from tributary.store import keys
from tributary.store.redis_client import failures
from tributary.store.tombstone import ASKED, Record


def read(client: redis.Redis, partitions: Iterable[int]) -> list[Record]:
    """The records by partition, in the order of the stream."""
    found: list[Record] = []
    for partition in partitions:
        with failures():
            held: Any = client.hgetall(keys.forgets(partition))
        of_partition = [Record.parse(partition, id_, value) for id_, value in held.items()]
        found += sorted(of_partition, key=lambda record: record.order)
    return found


def forgotten(client: redis.Redis, partition: int) -> dict[str, tuple[str, ...]]:
    """The devices that each tombstone of a partition up to `hwm` has removed, by entry id.

    Call it after reading `hwm`: the aggregator decides which devices of a tombstone are old
    enough, and other readers of the stream follow it.
    """
    found = read(client, (partition,))
    applied = [record for record in found if record.stage != ASKED]
    return {record.entry_id: record.tombstone.devices for record in applied}
