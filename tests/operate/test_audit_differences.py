"""The audit finds a corrupted value in each store, and none after random histories."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
import redis
from support import folding, forgetting

from aggregator import pace
from tributary.model import reading
from tributary.model.address import Address
from tributary.model.aggregate import CELL, CLOSED_CELL
from tributary.model.frame import Block, pack, readings_in
from tributary.model.rows import NEWEST, Shape
from tributary.operate.audit import Auditor, PartitionReport
from tributary.settings import Settings
from tributary.store import keys

MINUTE_MS = 60_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def random_block(random: Random, now: int) -> Block:
    """One reading, or a column of some; on time, late, or ahead of the clock."""
    device = f"car-{random.randrange(6)}"
    scale = random.choice([1.0, 1e-300, 1e300, 1e6])
    spread = random.choice([500, 30_000, 290_000, 3 * 3_600_000, 40 * 86_400_000])

    def at() -> int:
        return now - spread if random.random() < 0.1 else now + random.randrange(-spread, 290_000)

    metrics = [f"m{n}" for n in range(random.randrange(1, 4))]
    if random.random() < 0.6:
        return Block(device, at(), {m: random.gauss(3, 1) * scale for m in metrics})
    count = random.randrange(1, 40)
    times = struct.pack(f"<{count}q", *sorted(at() for _ in range(count)))
    columns = {
        m: struct.pack(f"<{count}d", *(random.gauss(3, 1) * scale for _ in range(count)))
        for m in metrics
    }
    return Block(device, times, columns)


def grow(client: redis.Redis, random: Random, entries: int) -> None:
    for _ in range(entries):
        blocks = [random_block(random, now_ms()) for _ in range(random.randrange(1, 12))]
        packed = b"no frame" if random.random() < 0.05 else pack(blocks)
        folding.append_frame(client, 0, packed, readings_in(blocks))


def audit(client: redis.Redis, settings: Settings, **options: Any) -> PartitionReport:
    return Auditor(client, settings, **options).audit(0)


@pytest.mark.parametrize("seed", range(6))
def test_random_histories_have_no_differences(
    change: Callable[..., Settings],
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
):
    random = Random(seed)
    monkeypatch.setattr(pace, "NEW_SERIES_MAX", 4)  # large entries are applied in slices
    settings = change(partitions=1, series_cached_max=1000)
    for part in range(4):
        grow(client, random, random.randrange(1, 25))
        if part:
            before = reading.rfc3339(now_ms() + random.randrange(-100_000, 300_000))
            devices = {f"car-{random.randrange(7)}" for _ in range(2)}
            forgetting.append(client, 0, devices, random.choice(["", before]))
            grow(client, random, random.randrange(5))
        folding.aggregate(settings, client)
        if part == 2 and seed % 2:
            client.xtrim(keys.readings(0), maxlen=5, approximate=False)
        found = audit(client, settings, values_max=random.choice([2_000, 4_000_000]))
        assert found.differences == [], (seed, part)
        assert (found.since is None) == (seed % 2 == 0 or part < 2)
        assert found.slots > 0 or seed % 2


def offsets(shape: Shape, address: Address) -> dict[str, int]:
    """Where parts of a row begin in its chunk of state."""
    fields = shape.base.fields
    assert fields is not None
    cells = shape.state_rows * shape.cells * NEWEST.itemsize
    begin = cells + address.state % shape.state_rows * shape.base.itemsize
    newest = 50 % shape.cells * shape.state_rows + address.state % shape.state_rows
    mean = int(CELL.fields["mean"][1])  # type: ignore[index]
    return {
        **{name: begin + int(fields[name][1]) for name in ("count", "mean")},
        "values": newest * NEWEST.itemsize + 8,
        "open mean": begin + int(fields["open"][1]) + mean,
    }


WRONG = struct.pack("<d", 12345.0)
# What is corrupted, and the store, metric and slot that must be reported.
CORRUPTIONS: dict[str, tuple[str, str, str]] = {
    "count": ("state", "m0", "total"),
    "mean": ("state", "m0", "total"),
    "values": ("state", "m0", "newest"),
    "open mean": ("state", "m0", "1m "),
    "ring": ("windows", "m0", "24h "),
    "no ring": ("windows", "m0", "24h "),
    "no state": ("state", "m0", ""),
    "no chunk": ("state", "m0", ""),
    "current": ("latest", "m0", "current"),
    "average": ("latest", "m0", "average"),
    "recorded_at": ("latest", "", "recorded_at"),
    "no document": ("latest", "m0", "current"),
    "devices": ("devices", "", ""),
}


@pytest.mark.parametrize("what", CORRUPTIONS)
def test_a_corrupted_value_is_reported(
    change: Callable[..., Settings], client: redis.Redis, what: str
):
    settings = change(partitions=1)
    now = now_ms()
    for n in range(50):
        blocks = [
            Block(device, now - n * 2 * 3_600_000, {"m0": n / 7, "m1": 2.0}) for device in "ab"
        ]
        folding.append_frame(client, 0, pack(blocks), 2)
    folding.aggregate(settings, client)
    assert audit(client, settings).differences == []
    field, document = keys.series("a", "m0"), folding.latest(client, settings, "a")
    shape = folding.shape_of(settings)
    address = Address.parse(client.hget(keys.rows(0), field) or b"")
    ring = f"{keys.ring_chunks(0)}{address.ring // shape.ring_rows}"
    if what in offsets(shape, address):
        chunk = f"{keys.state_chunks(0)}{address.state // shape.state_rows}"
        client.setrange(chunk, offsets(shape, address)[what], WRONG)
    elif what == "ring":
        begin = address.ring % shape.ring_rows * shape.ring_bytes
        packed = client.getrange(ring, begin, begin + shape.ring_bytes - 1)
        (cells,) = np.frombuffer(packed, shape.layout.rings)["24h"]
        place = int(shape.layout.first_cells[-2]) + int(np.flatnonzero(cells["count"])[0])
        client.setrange(ring, begin + place * CLOSED_CELL.itemsize + 8, WRONG)
    elif what == "no ring":
        client.hset(keys.rows(0), field, address._replace(ring=-1).packed())
    elif what == "no state":
        client.hdel(keys.rows(0), field)
    elif what == "no chunk":
        client.hset(keys.rows(0), field, b"99999")
    elif what == "devices":
        client.zrem(keys.devices(0), "a")
    elif what == "no document":
        client.hdel(keys.latest(0), "a")
    else:
        name = what if what in document else f"{what}_m0"
        document[name] = "2020-01-01T00:00:00.000Z" if what == "recorded_at" else 12345.0
        client.hset(keys.latest(0), "a", json.dumps(document))
    found = audit(client, settings)
    assert found.differences_found == len(found.differences) > 0
    assert {one.device for one in found.differences} == {"a"}
    store, metric, slot = CORRUPTIONS[what]
    assert any(
        one.store == store and one.metric == metric and one.slot.startswith(slot)
        for one in found.differences
    ), found.differences
