"""Silences of alerts, and transitions that could not be delivered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
import redis

from tributary.errors import Refused
from tributary.model.alert import Transition
from tributary.store import keys
from tributary.store.redis_client import failures

SILENCES_MAX = 10_000  # of a partition
_SCAN_COUNT = 1_000


class Silence(NamedTuple):
    """The transitions of a rule for a series are not delivered until a time."""

    device: str
    metric: str
    rule: str
    until_ms: int


class Undelivered(msgspec.Struct, frozen=True):
    """A transition that was given up; None: it was trimmed before it was sent."""

    destination: str
    reason: str
    at_ms: int
    transition: Transition | None


_undelivered = msgspec.json.Decoder(Undelivered).decode


def silence(client: redis.Redis, partitions: int, wanted: Silence, now_ms: int) -> None:
    """Silence a rule for a series, or change until when; ended silences are deleted.

    Raises:
        Refused: the series does not exist, or there are too many silences.
        Unavailable: Redis is.
    """
    device, metric, rule, until_ms = wanted
    partition = keys.partition_of(device, partitions)
    with failures():
        if not client.hexists(keys.rows(partition), keys.series(device, metric)):
            raise Refused(
                f"device {device!r} has no metric {metric!r}; check both names",
                status=404, code="unknown_series",
            )  # fmt: skip
        key = keys.silences(partition)
        ended = [
            keys.silence(*each[:3]) for each in _of_partition(client, partition)
            if each.until_ms <= now_ms
        ]  # fmt: skip
        if ended:
            client.hdel(key, *ended)
        held: Any = client.hlen(key)
        if held >= SILENCES_MAX:
            raise Refused(
                f"there are {held} silences in the partition of {device!r}, the limit; end some",
                status=422, code="too_many_silences",
            )  # fmt: skip
        client.hset(key, keys.silence(device, metric, rule), str(until_ms))


def end_silence(client: redis.Redis, partitions: int, device: str, metric: str, rule: str) -> bool:
    """End a silence; return whether there was one.

    Raises:
        Unavailable: Redis is.
    """
    with failures():
        key = keys.silences(keys.partition_of(device, partitions))
        return bool(client.hdel(key, keys.silence(device, metric, rule)))


def silences(client: redis.Redis, partitions: int, now_ms: int) -> list[Silence]:
    """The silences that have not ended, the first to end first.

    Raises:
        Unavailable: Redis is.
    """
    with failures():
        found = [each for p in range(partitions) for each in _of_partition(client, p)]
    return sorted((s for s in found if s.until_ms > now_ms), key=lambda s: (s.until_ms, *s[:3]))


def undelivered(client: redis.Redis, partitions: int, limit: int) -> list[Undelivered]:
    """The transitions that were given up, the latest first, at most `limit`.

    Raises:
        Unavailable: Redis is.
    """
    found: list[Undelivered] = []
    for partition in range(partitions):
        with failures():
            packed: Any = client.lrange(keys.undelivered(partition), 0, limit - 1)
        found += map(_undelivered, packed)
    return sorted(found, key=lambda each: -each.at_ms)[:limit]


def forget(client: redis.Redis, partition: int, devices: Iterable[str]) -> int:
    """Delete the silences and undelivered transitions of devices; returns how many.

    Raises:
        Unavailable: Redis is.
    """
    gone, deleted = set(devices), 0
    with failures():
        fields = [
            keys.silence(*s[:3]) for s in _of_partition(client, partition) if s.device in gone
        ]
        if fields:
            deleted += int(client.hdel(keys.silences(partition), *fields))
        packed: Any = client.lrange(keys.undelivered(partition), 0, -1)
        for row in packed:
            transition = _undelivered(row).transition
            if transition is not None and transition.device in gone:
                deleted += int(client.lrem(keys.undelivered(partition), 1, row))
    return deleted


def _of_partition(client: redis.Redis, partition: int) -> list[Silence]:
    found = []
    for field, until_ms in client.hscan_iter(keys.silences(partition), count=_SCAN_COUNT):
        device, metric, rule = field.decode().split("|")
        found.append(Silence(device, metric, rule, int(until_ms)))
    return found
