"""Memory of the server per series, and per single reading in the stream.

Every series gets one reading in each slot of each window, so that all windows are full; an
aggregator folds them. Then keys are deleted one kind at a time; the memory that this frees includes
the overhead of hashes and of the allocator.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click
import redis

from bench import machine, redis_server
from bench.workers import aggregator_worker
from bench.workers.scenario import METRIC, PARTITIONS, START_MS, Scenario, prepare, restore
from tributary.model.frame import Block, pack
from tributary.settings import Settings
from tributary.store import keys

_KINDS = {
    "rows": keys.rows,
    "state": keys.state_chunks,
    "rings": keys.ring_chunks,
    "latest": keys.latest,
    "devices": keys.devices,
}
_CHUNK = 5_000
TOTAL_MAX_BYTES = 3_072  # per series with one metric
STREAM_MAX_BYTES = 90  # per single reading


@click.command("memory", epilog="Example: scripts/bench memory --series 10000 --json")
@click.option("--series", default=10_000, show_default=True, type=click.IntRange(1, 1_000_000))
@click.option("--binary", default="", help="server program; default: the embedded Valkey")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
def command(series: int, binary: str, *, as_json: bool) -> None:
    """Bytes per series with all windows full, and per single reading in the stream."""
    with redis_server.start_embedded(binary) as (url, client):
        found = measure(url, client, series)
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"machine  {machine.description()}")
    click.echo(f"server   {found['server']}")
    click.echo("| bytes | per series |\n|---|---|")
    for kind in (*_KINDS, "total"):
        click.echo(f"| {kind} | {found['series_bytes'][kind]:.0f} |")
    click.echo(f"| stream, per single reading | {found['reading_bytes']:.1f} |")


def measure(url: str, client: redis.Redis, series: int) -> dict[str, Any]:
    """Bytes per series by kind of key, and per reading in the stream."""
    client.config_set("lazyfree-lazy-user-del", "no")  # DEL frees memory before it replies
    scenario = Scenario("memory", series, series * 10, 1, series)
    prepare(client, scenario)
    restore(client, scenario)
    stream_bytes = sum(_usage_bytes(client, keys.readings(n)) for n in range(PARTITIONS))
    _fill_windows(url, client, series)
    bytes_ = {kind: _freed_bytes(client, key) / series for kind, key in _KINDS.items()}
    return {
        "server": redis_server.version(client),
        "series": series,
        "series_bytes": {**bytes_, "total": sum(bytes_.values())},
        "reading_bytes": stream_bytes / scenario.readings,
    }


def _fill_windows(url: str, client: redis.Redis, series: int) -> None:
    """Have an aggregator fold one reading per series for each slot of each window."""
    client.flushall()
    windows = Settings().parsed_windows
    times_ms = {START_MS - n * w.slot_ms for w in windows for n in range(w.slots + 1)}
    entries, accepted = [0] * PARTITIONS, [0] * PARTITIONS
    pipeline = client.pipeline(transaction=False)
    for partition, readings, packed in _rounds(series, sorted(times_ms)):
        entries[partition] += 1
        accepted[partition] += readings
        numbered: Any = {"e": entries[partition], "n": accepted[partition], "r": packed}
        pipeline.xadd(keys.readings(partition), numbered)
        if len(pipeline) >= _CHUNK:
            pipeline.execute()
    for partition in range(PARTITIONS):
        numbers: Any = {"entries": entries[partition], "accepted": accepted[partition]}
        pipeline.hset(keys.meta(partition), mapping=numbers)
    pipeline.execute()
    aggregator_worker.finish(url, client, sum(accepted))


def _rounds(series: int, times_ms: list[int]) -> Iterator[tuple[int, int, bytes]]:
    members: list[list[str]] = [[] for _ in range(PARTITIONS)]
    for number in range(series):
        device = f"car-{number}"
        members[keys.partition_of(device, PARTITIONS)].append(device)
    for time_ms in times_ms:
        for partition, devices in enumerate(members):
            blocks = [Block(device, time_ms, {METRIC: 90.25}) for device in devices]
            if blocks:
                yield partition, len(blocks), pack(blocks)


def _freed_bytes(client: redis.Redis, key: Any) -> int:
    kinds: Any = (client.keys(f"{key(n)}*") for n in range(PARTITIONS))
    names = [name for found in kinds for name in found]
    before = int(client.info("memory")["used_memory"])
    if names:
        client.delete(*names)
    return before - int(client.info("memory")["used_memory"])


def _usage_bytes(client: redis.Redis, key: str) -> int:
    return int(client.memory_usage(key, samples=0) or 0)
