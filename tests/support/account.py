"""Appends entries to a partition, and checks that the counts of a status add up."""

from __future__ import annotations

import msgspec
import redis

from tributary.model import frame
from tributary.model.frame import Block
from tributary.operate.status import Status
from tributary.settings import Settings
from tributary.store.stream import Appender, Frame, append

PARTS = ("applied", "late", "dead", "lost", "pending")
_UNLIMITED = Appender(Settings(partitions=16, stream_max_entries=1_000_000))


def post(
    client: redis.Redis, partition: int, *sizes: int, device: str = "car", packed: bytes = b""
) -> None:
    """Append one entry per size, with that many readings recorded in 1970."""
    for size in sizes:
        content = packed or frame.pack([Block(device, 1, {"m": 1.0})] * size)
        append(client, _UNLIMITED, [Frame(partition, size, content)])


def assert_adds_up(found: Status) -> None:
    """accepted = applied + late + dead + lost + pending, in readings and in entries."""
    for each in (found, *found.partitions, *(p.entries for p in found.partitions)):
        counts = msgspec.structs.asdict(each)
        parts = [counts[name] for name in PARTS if name in counts]
        assert each.accepted == sum(parts), each
        assert min(parts) >= 0, each
        assert 0 <= each.missing <= each.pending, each
    for name in ("accepted", *PARTS, "missing", "refused"):
        assert getattr(found, name) == sum(getattr(p, name) for p in found.partitions), name
