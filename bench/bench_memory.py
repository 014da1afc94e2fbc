"""Memory of the server per series, and per single reading in the stream.

Every series gets one reading in each slot of each window, so that all windows are full; an
aggregator folds them. Then keys are deleted one kind at a time; the memory that this frees includes
the overhead of hashes and of the allocator. The same again for a metric with `keep = "latest"`.
"""

from __future__ import annotations

import json
import tempfile
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
    "short": keys.short_chunks,
    "rings": keys.ring_chunks,
    "latest": keys.latest,
    "devices": keys.devices,
}
_CHUNK = 5_000
TOTAL_MAX_BYTES = 3_072  # per series with one metric
LATEST_MAX_BYTES = 600  # of 2,000 series; chunks that are begun are a larger part of few
STREAM_MAX_BYTES = 90  # per single reading


@click.command("memory", epilog="Example: scripts/bench memory --series 10000 --json")
@click.option("--series", default=10_000, show_default=True, type=click.IntRange(1, 1_000_000))
@click.option("--metrics", default=1, show_default=True, type=click.IntRange(1, 64))
@click.option("--binary", default="", help="server program; default: the embedded Valkey")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
def command(series: int, metrics: int, binary: str, *, as_json: bool) -> None:
    """Bytes per series by what is kept of its metric, and per single reading in the stream."""
    with redis_server.start_embedded(binary) as (url, client):
        found = measure(url, client, series, metrics)
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"machine  {machine.description()}")
    click.echo(f"server   {found['server']}")
    click.echo('| bytes per series | all windows full | keep = "latest" |\n|---|---|---|')
    for kind in (*_KINDS, "total"):
        click.echo(
            f"| {kind} | {found['series_bytes'][kind]:.0f} | {found['latest_bytes'][kind]:.0f} |"
        )
    click.echo(f"| stream, per single reading | {found['reading_bytes']:.1f} | |")


def measure(url: str, client: redis.Redis, series: int, metrics: int = 1) -> dict[str, Any]:
    """Bytes per series by kind of key, and per reading in the stream.

    `metrics`: series of each device, whose name and response they share.
    """
    client.config_set("lazyfree-lazy-user-del", "no")  # DEL frees memory before it replies
    scenario = Scenario("memory", series, series * 10, 1, series)
    prepare(client, scenario)
    restore(client, scenario)
    stream_bytes = sum(_usage_bytes(client, keys.readings(n)) for n in range(PARTITIONS))
    names = [METRIC, *(f"{METRIC}_{n}" for n in range(1, metrics))]
    devices, latest = series // metrics, "".join(f'[{n}]\nkeep = "latest"\n' for n in names)
    return {
        "server": redis_server.version(client),
        "series": devices * metrics,
        "series_bytes": _series_bytes(url, client, devices, names, ""),
        "latest_bytes": _series_bytes(url, client, devices, names, latest),
        "reading_bytes": stream_bytes / scenario.readings,
    }


def _series_bytes(
    url: str, client: redis.Redis, devices: int, metrics: list[str], catalogue: str
) -> dict[str, float]:
    """Bytes per series by kind of key, with this catalogue of metrics."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(catalogue)
        file.flush()
        _fill_windows(url, client, devices, metrics, TRIBUTARY_METRICS_FILE=file.name)
    series = devices * len(metrics)
    bytes_ = {kind: _freed_bytes(client, key) / series for kind, key in _KINDS.items()}
    return {**bytes_, "total": sum(bytes_.values())}


def _fill_windows(
    url: str, client: redis.Redis, devices: int, metrics: list[str], **environ: str
) -> None:
    """Have an aggregator fold one reading per series for each slot of each window."""
    client.flushall()
    windows = Settings().parsed_windows
    times_ms = {START_MS - n * w.slot_ms for w in windows for n in range(w.slots + 1)}
    entries, accepted = [0] * PARTITIONS, [0] * PARTITIONS
    pipeline = client.pipeline(transaction=False)
    for partition, readings, packed in _rounds(devices, metrics, sorted(times_ms)):
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
    aggregator_worker.finish(url, client, sum(accepted), **environ)


def _rounds(
    devices: int, metrics: list[str], times_ms: list[int]
) -> Iterator[tuple[int, int, bytes]]:
    members: list[list[str]] = [[] for _ in range(PARTITIONS)]
    for number in range(devices):
        device = f"car-{number}"
        members[keys.partition_of(device, PARTITIONS)].append(device)
    for time_ms in times_ms:
        for partition, names in enumerate(members):
            blocks = [Block(name, time_ms, dict.fromkeys(metrics, 90.25)) for name in names]
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
