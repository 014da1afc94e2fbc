"""Counts stale devices: exactly in a small fleet, estimated from a sample in a large one."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import redis

from tributary.model import reading
from tributary.settings import Settings
from tributary.store import keys
from tributary.store.redis_client import failures

SAMPLE = 500  # devices per partition


class _Latest(msgspec.Struct):
    recorded_at: str


_decode = msgspec.json.Decoder(_Latest).decode


class StaleDevices(NamedTuple):
    """How many devices have no reading newer than `stale_after_ms`."""

    devices: int
    is_exact: bool


def count(client: redis.Redis, settings: Settings, now_ms: int) -> StaleDevices:
    """Count them, at a cost that does not grow with the fleet."""
    with failures():
        pipeline = client.pipeline(transaction=False)
        for partition in range(settings.partitions):
            pipeline.hlen(keys.latest(partition))
            pipeline.hrandfield(keys.latest(partition), SAMPLE, withvalues=True)
        replies = pipeline.execute()
    pairs = list(zip(replies[0::2], replies[1::2], strict=True))
    stale = sum(
        devices * _stale(sample, now_ms, settings) / (len(sample) // 2)
        for devices, sample in pairs
        if sample
    )
    return StaleDevices(round(stale), all(devices <= SAMPLE for devices, _ in pairs))


def _stale(sample: list[Any], now_ms: int, settings: Settings) -> int:
    """Count the stale devices of a sample: device, value, device, value and so on."""
    times_ms = (reading.time_ms(_decode(latest).recorded_at) for latest in sample[1::2])
    return sum(now_ms - time_ms > settings.stale_after_ms for time_ms in times_ms)
