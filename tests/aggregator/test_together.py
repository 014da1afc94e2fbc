"""Partitions that are computed together write what each would write by itself."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from aggregator import changes
from aggregator.account import Counts
from aggregator.addresses import Addresses
from aggregator.changes import Changes
from aggregator.fold import fold
from aggregator.overflow import Horizon
from aggregator.table import Table, Unseen
from tributary.model import catalogue
from tributary.model.aggregate import Layout
from tributary.model.counter import Clock
from tributary.model.declared import Declared
from tributary.model.groups import Readings
from tributary.model.rows import UNKNOWN, Shape, StoredSeries
from tributary.model.window import parse_windows
from tributary.store import keys

PARTITIONS = (3, 0, 11)
DEVICES = 4
NAMES = ("speed", "rpm", "kwh", "delay")
START_MS = 1_700_000_003_210
NOTHING = Changes([], Counts(), [], None)


class Worker:
    """A table of some partitions, whose changes are computed together or one by one."""

    def __init__(self, shape: Shape) -> None:
        self.table = Table(shape, len(PARTITIONS) * DEVICES * len(NAMES))
        self.addresses = [Addresses(partition, shape) for partition in PARTITIONS]
        self.table.begin_batch()
        for partition in PARTITIONS:
            devices = [f"car-{partition}-{n}" for n in range(DEVICES)]
            series = [(device, name) for device in devices for name in NAMES]
            unknown = StoredSeries([UNKNOWN] * len(series), {})
            self.table.load(partition, Unseen(series, devices), unknown, [None] * len(devices))

    def apply(
        self, readings: Readings, now_ms: int, partitions: list[int], *, is_together: bool
    ) -> list[Changes]:
        table = self.table
        for beside in (table.counters, table.quantiles):
            beside.fold(readings, Clock(now_ms, 300_000))
        horizon = Horizon(table.overflow, now_ms, 300_000, table.is_short)
        folded = fold(table.shape.layout, table.state, table.rings, readings, horizon)
        parts = [partitions] if is_together else [[number] for number in partitions]
        found: list[Changes] = []
        for part in parts:
            addresses = [self.addresses[number] for number in part]
            nothing = [NOTHING] * len(part)
            found += changes.from_fold(nothing, table, folded, addresses, [[]] * len(part))
        for number in partitions:
            self.addresses[number].commit()
        return found


@pytest.mark.parametrize("windows", ["1m/5s,1h/5m", ""], ids=["windows", "none"])
@pytest.mark.parametrize("seed", range(3))
def test_they_write_what_each_would_write(seed: int, windows: str):
    chance = Random(seed)
    layout = Layout(parse_windows(windows), 3)
    quantiles = "\n[delay]\nquantiles = true" if windows else ""
    metrics = catalogue.parse('[kwh]\nkind = "counter"' + quantiles)
    shape = Shape(layout, Declared(layout, metrics))
    together, apart = Worker(shape), Worker(shape)
    size, now_ms, written = len(PARTITIONS) * DEVICES * len(NAMES), START_MS, 0
    for turn in range(80):
        now_ms += chance.choice((20, 900, 7_000, 400_000))
        chosen = chance.sample(range(len(PARTITIONS)), chance.randint(1, len(PARTITIONS)))
        share = size // len(PARTITIONS)
        of_chosen = np.concatenate([np.arange(n * share, (n + 1) * share) for n in chosen])
        rows = size - 1 - np.array(chance.choices(of_chosen.tolist(), k=chance.randint(1, 30)))
        numbers = [PARTITIONS.index(int(p)) for p in together.table.partitions(rows)]
        partitions = list(dict.fromkeys(numbers))
        times_ms = [now_ms - chance.choice((0, 0, 5, 8_000, -200_000)) for _ in rows]
        readings = Readings(rows, np.array(times_ms), np.array([chance.random() for _ in rows]))
        if turn % 20 == 10:  # `keep` of a metric has changed
            for worker in (together, apart):
                worker.table.is_short[turn % 7 :: 5] ^= True
        one = together.apply(readings, now_ms, partitions, is_together=True)
        other = apart.apply(readings, now_ms, partitions, is_together=False)
        assert one == other
        written += sum(len(each.writes.chunks) for each in one)
    assert together.table.state.tobytes() == apart.table.state.tobytes()
    assert written > 500


def test_only_the_partitions_asked_for_are_written():
    layout = Layout(parse_windows("1m/5s"), 3)
    worker = Worker(Shape(layout))
    size = len(PARTITIONS) * DEVICES * len(NAMES)
    readings = Readings(np.arange(size), np.full(size, START_MS), np.arange(size, dtype=float))
    (found,) = worker.apply(readings, START_MS, [1], is_together=True)
    assert {key for key, *_ in found.writes.chunks} == {f"{keys.state_chunks(0)}0"}
    assert len(found.latest) == 2 * DEVICES
    assert all(device.decode().startswith("car-0-") for device in found.latest[::2])
