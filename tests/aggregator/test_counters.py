"""Counters: what is stored of them through restarts and crashes, and what windows show."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
import redis
from support import folding, forgetting

from aggregator.worker import Worker
from api.read import bodies, selected
from api.read.build import Series, unpack
from api.read.handlers import make_reader
from tributary.model.aggregate import Layout
from tributary.model.counter import Clock, Counter, Form, RollOver
from tributary.model.distribution import RANKS
from tributary.model.frame import Block
from tributary.model.quantiles import Form as QuantileForm
from tributary.model.quantiles import Quantiles
from tributary.settings import Settings
from tributary.store import keys, redis_client

START_MS = 1_700_000_040_000  # a whole minute
METRICS = """
[odometer]
kind = "counter"
[packets]
kind = "counter"
rolls_over_at = 1000
quantiles = true
"""


@pytest.fixture
def counting(change: Callable[..., Settings], tmp_path: Path) -> Settings:
    """Settings of one partition with two counters."""
    (tmp_path / "counters.toml").write_text(METRICS)
    return change(partitions=1, metrics_file=str(tmp_path / "counters.toml"))


def block(second: float, **metrics: float) -> Block:
    return Block("d", START_MS + int(second * 1000), metrics)


def stored(client: redis.Redis, settings: Settings, metric: str) -> tuple[Series, Callable]:
    """A series as the API reads it, and its windows by name and second."""
    reader = make_reader(settings, client)
    _, packed = reader.store.device("d", [metric])
    (series,) = unpack(reader.view, "d", [metric], packed)
    names = [window.name for window in reader.view.layout.windows]

    def window(name: str, second: float) -> bodies.Window:
        now_ms = START_MS + int(second * 1000)
        number = names.index(name)
        return selected.window(reader.view.layout, series.unpacked, number, now_ms)

    return series, window


def test_windows_of_counters_have_increase_and_rate(client: redis.Redis, counting: Settings):
    for second in (0, 10, 20, 30):
        metrics = {"odometer": 100.0 + second / 2, "packets": (980.0 + second) % 1000, "speed": 1.0}
        folding.append(client, counting, [block(second, **metrics)])
        folding.aggregate(counting, client)
    for metric, gained in (("odometer", 15), ("packets", 30)):
        _, window = stored(client, counting, metric)
        found = window("1m", 40)
        assert (found.count, found.increase, found.rate) == (4, gained, gained / 40)
        assert window("1m", 79).increase == gained * 2 / 3  # from the reading before them
        assert window("24h", 79).increase == gained
        assert (window("1m", 500).increase, window("1m", 500).rate) == (None, None)
    _, window = stored(client, counting, "speed")
    assert not hasattr(window("1m", 40).increase, "real")
    assert client.hkeys(keys.counters(0)) == [b"d|odometer", b"d|packets"]


def test_one_reading_is_no_increase_yet(client: redis.Redis, counting: Settings):
    folding.append(client, counting, [block(0, odometer=5.0)])
    folding.aggregate(counting, client)
    found = stored(client, counting, "odometer")[1]("1m", 1)
    assert (found.count, found.increase, found.rate) == (1, None, None)


def test_a_metric_that_becomes_a_counter_counts_from_then_on(
    client: redis.Redis, counting: Settings, change: Callable[..., Settings]
):
    for second in range(12):
        folding.append(client, counting, [block(second, odometer=float(second))])
    folding.aggregate(change(partitions=1), client)
    assert not client.exists(keys.counters(0))
    assert stored(client, counting, "odometer")[1]("1m", 12).increase == 9  # of 10 that are known
    folding.append(client, counting, [block(12, odometer=20.0)])
    folding.aggregate(counting, client)
    found = stored(client, counting, "odometer")[1]("1m", 12)
    assert (found.increase, found.rate) == (18, 18 / 10)


def test_counters_of_forgotten_devices_are_removed(client: redis.Redis, counting: Settings):
    for second in (0, 60):
        folding.append(client, counting, [block(second, odometer=9.0, packets=1.0, speed=1.0)])
    folding.aggregate(counting, client)
    assert client.hkeys(keys.quantiles(0)) == [b"d|packets"]
    forgetting.append(client, 0, ["d"])
    folding.aggregate(counting, client)
    assert not client.exists(keys.counters(0), keys.quantiles(0))
    folding.append(client, counting, [block(70, odometer=2.0)])
    folding.aggregate(counting, client)
    assert stored(client, counting, "odometer")[0].unpacked.counter.count == 1  # type: ignore[union-attr]


async def _crash_after(settings: Settings, seconds: float) -> None:
    """Run a worker and end it at once, whatever it is doing."""
    running = asyncio.create_task(Worker(settings).run(asyncio.Event()))
    await asyncio.sleep(seconds)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


@pytest.mark.parametrize("seed", range(3))
def test_counters_and_quantiles_are_the_same_after_crashes(
    client: redis.Redis, counting: Settings, seed: int
):
    chance, second, value = Random(seed), 0.0, 0
    expected = Counter(Form(counting.parsed_windows, 10), RollOver(1000.0))
    quantiles = Quantiles(QuantileForm(Layout(counting.parsed_windows, 10)))
    clock = Clock(1 << 50, 300_000)
    redis_client.prepare(client, counting)
    for _ in range(300):
        second += chance.choice((0.5, 1, 1, 1, 7, 70))
        value = chance.choice((value + chance.randrange(40), value, 0)) % 1000
        late_s = chance.choice((0, 0, 0, 0, 3, 400, -100))
        reading = block(second - late_s, packets=float(value))
        folding.append(client, counting, [reading])
        for each in (expected, quantiles):
            each.add(int(reading.recorded_at_ms), float(value), clock)
        if chance.random() < 0.03:
            asyncio.run(_crash_after(counting, chance.uniform(0.0, 0.08)))
    folding.aggregate(counting, client)
    series, _ = stored(client, counting, "packets")
    assert series.unpacked.counter is not None
    for number, window in enumerate(counting.parsed_windows):
        found, exact = (each.slots(number) for each in (series.unpacked.counter, expected))
        size = window.slots + 1  # not those beyond
        assert [column[-size:].tolist() for column in found] == [each.tolist() for each in exact]
    assert series.unpacked.quantiles is not None
    for number, window in enumerate(counting.parsed_windows[1:], 1):
        newest = quantiles.newest_ms // window.slot_ms
        slots = range(newest - window.slots, newest + 1)
        sketches = (
            each.values(number, slots, RANKS) for each in (series.unpacked.quantiles, quantiles)
        )
        np.testing.assert_array_equal(*sketches)
