"""An aggregator keeps a limited number of series in memory, and its results stay exact."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from random import Random

import pytest
import redis
from support import folding

from aggregator import table
from aggregator.cycle import Cycle
from tributary.model.aggregate import Layout
from tributary.model.frame import Block
from tributary.model.rows import UNKNOWN, Shape, StoredSeries
from tributary.settings import Settings

START_MS = 1_700_000_000_000
METRICS = ("a", "b", "c")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bound", [3, 20])
def test_a_small_table_gives_the_same_results(
    change: Callable[..., Settings], client: redis.Redis, bound: int, seed: int
):
    settings = change(partitions=3, series_cached_max=bound, read_max_entries=5)
    random = Random(seed)
    sent: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for number in range(1200):
        # Some devices record all the time, others rarely.
        device = f"d{int(random.paretovariate(0.7)) % 40}"
        metrics = {m: float(number) for m in random.sample(METRICS, random.randint(1, 3))}
        folding.append(client, settings, [Block(device, START_MS + number * 700, dict(metrics))])
        for metric, value in metrics.items():
            sent[device, metric].append(value)
    folding.aggregate(settings, client)
    assert len(sent) > 2 * bound
    for (device, metric), values in sent.items():
        kept = folding.state(client, settings, device, metric)
        assert kept["count"] == len(values)
        assert math.isclose(kept["mean"], sum(values) / len(values))
        collected = folding.latest(client, settings, device)
        assert collected[f"current_{metric}"] == values[-1]
        assert collected[f"average_{metric}"] == math.fsum(values[-10:]) / len(values[-10:])


def test_the_table_shrinks_again_after_a_large_batch(
    change: Callable[..., Settings], client: redis.Redis, monkeypatch: pytest.MonkeyPatch
):
    settings = change(partitions=1, series_cached_max=10)
    sizes: list[int] = []
    turn = Cycle._turn

    async def watched(self: Cycle) -> None:
        await turn(self)
        sizes.append(len(self._table.series))

    monkeypatch.setattr(Cycle, "_turn", watched)
    folding.append(client, settings, [Block(f"d{n}", 1, {"m": 1.0}) for n in range(500)])
    folding.aggregate(settings, client)
    folding.append(client, settings, [Block("d0", 2, {"m": 3.0})])
    folding.append(client, settings, [Block(f"e{n}", 1, {"m": 1.0}) for n in range(500)])
    for number in range(200):
        folding.append(client, settings, [Block("d0", 3 + number, {"m": 2.0})])
    folding.aggregate(change(partitions=1, series_cached_max=10, read_max_entries=2), client)
    assert max(sizes) >= 500
    assert sizes[-1] == 10
    assert folding.state(client, settings, "d0", "m")["count"] == 202


@pytest.mark.parametrize(("limit", "evicted"), [(4, 4), (8_192, 12)])
def test_a_full_table_evicts_a_bounded_number_of_series(
    monkeypatch: pytest.MonkeyPatch, limit: int, evicted: int
):
    monkeypatch.setattr(table, "_EVICTED_MAX_ROWS", limit)
    full = table.Table(Shape(Layout((), 3)), 100)
    for devices in (range(100), range(100, 101)):
        series = [(f"d{number}", "m") for number in devices]
        new = StoredSeries([UNKNOWN] * len(series), {})
        full.begin_batch()
        unseen = table.Unseen(series, [device for device, _ in series])
        full.load(0, unseen, new, [None] * len(series))
    assert len(full.rows(0)) == 101 - evicted
