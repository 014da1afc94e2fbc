"""Entries put into a partition, and what every account of a deployment must be: a sum."""

from __future__ import annotations

from typing import Any

import redis

from tributary.model import frame
from tributary.model.frame import Block
from tributary.settings import Settings
from tributary.store.stream import Appending, Frame, append

_ENDLESS = Appending(Settings(stream_max_entries=1_000_000))


def post(
    client: redis.Redis, partition: int, *sizes: int, device: str = "car", packed: bytes = b""
) -> None:
    """Append an entry for each size, of that many readings, recorded in 1970."""
    for size in sizes:
        content = packed or frame.pack([Block(device, 1, {"m": 1.0})] * size)
        append(client, _ENDLESS, [Frame(partition, size, content)])


def assert_adds_up(found: dict[str, Any]) -> None:
    """accepted = applied + late + dead + lost + pending, in readings and in entries."""
    for each in (found, *found["partitions"], *(p["entries"] for p in found["partitions"])):
        parts = [name for name in ("applied", "late", "dead", "lost", "pending") if name in each]
        assert each["accepted"] == sum(each[part] for part in parts), each
        assert min(each[part] for part in parts) >= 0, each
        assert 0 <= each["missing"] <= each["pending"], each
    for name in ("accepted", "applied", "late", "dead", "lost", "pending", "missing", "refused"):
        assert found[name] == sum(partition[name] for partition in found["partitions"]), name
