"""Stored responses of `/collect` for many devices, written to Redis directly."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import redis

from bench import redis_server
from tributary.store import keys

_CHUNK = 20_000


def write(client: redis.Redis, devices: int, key_of: Callable[[str], str] | None = None) -> None:
    """Write the responses of `car-0` … to an empty server.

    `key_of` is the hash of a device; by default that of its partition.
    """
    now = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
    recorded_at = now.replace("+00:00", "Z")
    partitions = redis_server.partitions(client)
    key_of = key_of or (lambda device: keys.latest(keys.partition_of(device, partitions)))
    for first in range(0, devices, _CHUNK):
        chunks: dict[str, dict[Any, Any]] = {}
        for number in range(first, min(first + _CHUNK, devices)):
            device = f"car-{number}"
            chunks.setdefault(key_of(device), {})[device] = _response(device, recorded_at)
        pipeline = client.pipeline(transaction=False)
        for key, responses in chunks.items():
            pipeline.hset(key, mapping=responses)
        pipeline.execute()


def _response(device: str, recorded_at: str) -> str:
    response = {
        "device": device,
        "recorded_at": recorded_at,
        "current_engine_temperature": 92.3,
        "average_engine_temperature": 91.8,
    }
    return json.dumps(response, separators=(",", ":"))
