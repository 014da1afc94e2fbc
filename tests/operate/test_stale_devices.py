"""Counting stale devices: exact for a small fleet, an estimate for a large one."""

from __future__ import annotations

import redis

from tributary.model import reading
from tributary.operate.status import stale_devices
from tributary.operate.status.stale_devices import SAMPLE
from tributary.settings import Settings
from tributary.store import keys

NOW_MS = 1_800_000_000_000


def put(client: redis.Redis, settings: Settings, partition: int, ages_ms: list[int]) -> None:
    """Store a device for each age, as the aggregator does."""
    bodies = {
        f"d{n}": b'{"device":"d%d","recorded_at":"%b","current_m":1.5}'
        % (n, reading.rfc3339(NOW_MS - age_ms).encode())
        for n, age_ms in enumerate(ages_ms)
    }
    client.hset(keys.latest(partition), mapping=bodies)


def test_counts_none_without_devices(client: redis.Redis, settings: Settings):
    assert stale_devices.count(client, settings, NOW_MS) == (0, True)


def test_counts_a_small_fleet(client: redis.Redis, settings: Settings):
    limit_ms = settings.stale_after_ms
    put(client, settings, 0, [0, limit_ms, limit_ms + 1])
    put(client, settings, 3, [limit_ms + 1] * SAMPLE)
    assert stale_devices.count(client, settings, NOW_MS) == (SAMPLE + 1, True)


def test_estimates_a_large_fleet(client: redis.Redis, settings: Settings):
    put(client, settings, 0, [0, settings.stale_after_ms + 1] * (2 * SAMPLE))
    found = stale_devices.count(client, settings, NOW_MS)
    assert not found.is_exact
    # Six standard deviations of drawing 500 of 2,000 without replacement.
    assert abs(found.devices - 2 * SAMPLE) < 240
