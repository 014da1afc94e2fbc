"""Stored responses of `/collect` for many devices, written to Redis directly."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from aggregator.latest import encode
from bench import redis_server
from tributary.settings import Settings
from tributary.store import keys

_CHUNK = 20_000


def write(port: int, devices: int, tick: Callable[[int], None] = lambda _: None) -> None:
    """Write the responses of `car-0` … to an empty server; `tick` is called with each count."""
    now = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
    recorded_at = now.replace("+00:00", "Z")
    partitions = Settings().partitions
    with redis_server.connect(port) as client:
        for first in range(0, devices, _CHUNK):
            numbers = range(first, min(first + _CHUNK, devices))
            chunks: dict[str, dict[str, bytes]] = {}
            for number in numbers:
                device = f"car-{number}"
                key = keys.latest(keys.partition_of(device, partitions))
                chunks.setdefault(key, {})[device] = _response(device, recorded_at)
            pipeline = client.pipeline(transaction=False)
            for key, responses in chunks.items():
                pipeline.hset(key, mapping=responses)
            pipeline.execute()
            tick(len(numbers))


def _response(device: str, recorded_at: str) -> bytes:
    return encode(
        {
            "device": device,
            "recorded_at": recorded_at,
            "current_engine_temperature": 92.3,
            "average_engine_temperature": 91.8,
        }
    )
