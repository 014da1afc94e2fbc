"""Reads the alerts of a deployment that are not ok."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import redis

from tributary.model import alert
from tributary.model.alert import AlertState
from tributary.store import keys
from tributary.store.redis_client import failures

_SCAN_COUNT = 1_000
_PLACE = re.compile("([0-9]{1,4})-([0-9]{1,20})")
_CURSOR_MAX = 2**64 - 1


class StoredAlert(NamedTuple):
    """A rule for one series, and its state."""

    device: str
    metric: str
    rule: str
    state: AlertState


class Place(NamedTuple):
    """Where a page begins: a partition, and a cursor of HSCAN there."""

    partition: int = 0
    cursor: int = 0

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse `3-17`; None if it is not valid."""
        match = _PLACE.fullmatch(text)
        if match is None or int(match[2]) > _CURSOR_MAX:
            return None
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.partition}-{self.cursor}"


def page(
    client: redis.Redis, partitions: int, place: Place, limit: int
) -> tuple[list[StoredAlert], Place | None]:
    """At least `limit` alerts from a place on if there are as many, and where the next page begins.

    An alert that changes while pages are read may be missing, or on two pages.

    Raises:
        Unavailable: Redis is.
    """
    found: list[StoredAlert] = []
    partition, cursor = place
    while partition < partitions:
        with failures():
            reply: Any = client.hscan(keys.alerts(partition), cursor, count=_SCAN_COUNT)
        cursor, fields = reply
        found += _parsed(fields)
        if cursor == 0:
            partition += 1
        if len(found) >= limit:
            break
    return found, Place(partition, int(cursor)) if partition < partitions else None


def of_device(client: redis.Redis, partitions: int, device: str) -> list[StoredAlert]:
    """The alerts of a device.

    Raises:
        Unavailable: Redis is.
    """
    key = keys.alerts(keys.partition_of(device, partitions))
    # No character of a device name has a meaning in a pattern of Redis.
    with failures():
        pages = client.hscan_iter(key, match=f"{device}|*", count=_SCAN_COUNT)
        return list(_parsed(dict(pages)))


def _parsed(fields: dict[bytes, bytes]) -> Iterator[StoredAlert]:
    for name, packed in fields.items():
        device, _, metric = name.decode().partition("|")
        for rule, state in alert.parse_states(packed).items():
            yield StoredAlert(device, metric, rule, state)
