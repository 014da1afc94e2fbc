"""Tombstones for tests."""

from __future__ import annotations

from collections.abc import Iterable

import redis

from tributary.store import scripts
from tributary.store.tombstone import Tombstone


def append(client: redis.Redis, partition: int, devices: Iterable[str], before: str = "") -> bytes:
    """Append a tombstone with forget.lua; its id."""
    text = Tombstone("test", tuple(devices), before).packed()
    limits = {"max_entries": "1000000", "unread_max": "0", "records_max": 1000}
    return bytes(scripts.run(client, scripts.forget(partition, **limits, text=text)))  # type: ignore[arg-type]
