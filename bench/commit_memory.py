"""Bytes of Redis per series of two commits, with every slot of every window filled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bench import commit_fill, redis_server
from bench.commit_figures import Figure
from bench.commit_tree import Tree
from bench.workers.scenario import METRIC, START_MS
from tributary.settings import Settings
from tributary.store import keys

SERIES, SHORT_SERIES = 10_000, 500
LIMIT_BYTES = 2_662  # 2.6 KB
_BATCH = 1_000


def measure(trees: Sequence[Tree], series: int, tick: Callable[[str], None]) -> list[Figure]:
    """Memory that the aggregates take, by what an empty server takes less."""
    found: dict[str, list[float]] = {}
    for tree in trees:
        tick(f"memory: {tree.name}")
        found[tree.name] = [_series_bytes(tree, series)]
    name = "bytes of Redis per series"
    return [Figure("all windows full", name, found["old"], found["new"], value_at_most=LIMIT_BYTES)]


def _series_bytes(tree: Tree, series: int) -> float:
    with redis_server.start_embedded() as (url, client):
        client.config_set("lazyfree-lazy-user-del", "no")
        with commit_fill.ingest(tree, url) as address:
            empty = int(client.info("memory")["used_memory"])
            readings = commit_fill.send(address, _batches(series))
        with commit_fill.role(tree, url, "aggregator"):
            commit_fill.wait_applied(client, readings)
        streams = [keys.readings(n) for n in range(redis_server.partitions(client))]
        client.delete(*streams)
        return (int(client.info("memory")["used_memory"]) - empty) / series


def _batches(series: int) -> Iterator[list[commit_fill.Reading]]:
    """A reading of every series in each slot of each window, oldest first."""
    windows = Settings().parsed_windows
    newest_ms = START_MS + commit_fill.SHIFT_MS
    times_ms = {newest_ms - n * w.slot_ms for w in windows for n in range(w.slots + 1)}
    for time_ms in sorted(times_ms):
        for first in range(0, series, _BATCH):
            numbers = range(first, min(first + _BATCH, series))
            yield [
                {"device": f"car-{number}", "recorded_at": time_ms, METRIC: 90.25}
                for number in numbers
            ]
