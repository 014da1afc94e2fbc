"""A restart of the aggregator with many series: time until the first commit, and peak memory.

All series are folded once per minute for some minutes. Then the aggregator stops, each series
records once more, and a new aggregator starts. It has nothing in memory and must load every series
that its entries name.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import redis

from bench import launch, machine, redis_server
from bench.workers import aggregator_worker
from bench.workers.scenario import PARTITIONS, START_MS
from tributary.model.frame import Block, pack
from tributary.store import keys

_MINUTE_MS = 60_000
_FILL_PER_FRAME = 1_000
_PIPELINED = 2_000
_POLL_S = 0.01
_TIMEOUT_S = 600.0
PEAK_MAX_MIB = 450  # with the default settings, as in docs/operating.md


@click.command("restart", epilog="Example: scripts/bench restart --devices 150000 --metrics 4")
@click.option("--devices", default=600_000, show_default=True, type=click.IntRange(1, 1_000_000))
@click.option("--metrics", default=1, show_default=True, type=click.IntRange(1, 64))
@click.option("--minutes", default=2, show_default=True, type=click.IntRange(1, 100))
@click.option("--per-frame", default=16, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
def command(*, as_json: bool, **options: int) -> None:
    """Restart an aggregator; print the time to the first commit and to the drain, and memory."""
    found = measure(**options)
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"machine  {machine.description()}")
    click.echo("| figure | value |\n|---|---|")
    for name, value in found.items():
        click.echo(f"| {name} | {value} |")


def measure(*, devices: int, metrics: int, minutes: int, per_frame: int) -> dict[str, Any]:
    """Run once; returns the figures."""
    values = {f"m{number}": 90.25 for number in range(metrics)}
    with redis_server.start_embedded() as (url, client):
        streams = Streams(client)
        for minute in range(minutes):
            streams.append(
                _rounds(devices, values, START_MS + minute * _MINUTE_MS), _FILL_PER_FRAME
            )
            aggregator_worker.finish(url, client, streams.readings)
            click.echo(f"minute {minute + 1} of {minutes} is folded", err=True)
        before = streams.readings
        streams.append(_rounds(devices, values, START_MS + minutes * _MINUTE_MS), per_frame)
        figures = _restart(url, client, before, streams.readings)
        counted = aggregator_worker.counted(client)
    return {
        "series": devices * metrics,
        "readings per frame": per_frame,
        **figures,
        "counted": counted,
        "recorded": streams.readings * metrics,
    }


class Streams:
    """The streams of all partitions, with entries numbered as by `append`."""

    def __init__(self, client: redis.Redis) -> None:
        self.readings = 0
        self._client = client
        self._counts = {partition: [0, 0] for partition in range(PARTITIONS)}

    def append(self, readings: Iterable[tuple[int, Block]], per_frame: int) -> None:
        """Append readings, which have their partition, in frames."""
        waiting: defaultdict[int, list[Block]] = defaultdict(list)
        pipeline = self._client.pipeline(transaction=False)
        for partition, block in readings:
            blocks = waiting[partition]
            blocks.append(block)
            if len(blocks) == per_frame:
                self._add(pipeline, partition, waiting.pop(partition))
        for partition, blocks in waiting.items():
            self._add(pipeline, partition, blocks)
        for partition, (entries, accepted) in self._counts.items():
            numbers: Any = {"entries": entries, "accepted": accepted}
            pipeline.hset(keys.meta(partition), mapping=numbers)
        pipeline.execute()

    def _add(self, pipeline: Any, partition: int, blocks: list[Block]) -> None:
        counts = self._counts[partition]
        counts[0] += 1
        counts[1] += len(blocks)
        self.readings += len(blocks)
        fields = {"e": counts[0], "n": counts[1], "r": pack(blocks)}
        pipeline.xadd(keys.readings(partition), fields)
        if len(pipeline) >= _PIPELINED:
            pipeline.execute()


def _rounds(devices: int, values: dict[str, float], time_ms: int) -> Iterator[tuple[int, Block]]:
    """One reading of each device."""
    for number in range(devices):
        device = f"car-{number}"
        block = Block(device, time_ms + number % 1_000, dict(values))
        yield keys.partition_of(device, PARTITIONS), block


def _restart(url: str, client: redis.Redis, before: int, readings: int) -> dict[str, Any]:
    """Start an aggregator, and wait until it has applied everything."""
    first_s, first_bytes = 0.0, 0
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        command = [sys.executable, "-m", "tributary", "aggregator", "--redis-url", url]
        began_s = time.monotonic()
        with launch.process(
            machine.pin(machine.LOAD_CORE, command), Path(folder) / "log"
        ) as worker:
            while (done := aggregator_worker.applied(client)) < readings:
                if not first_s and done > before:
                    first_s = time.monotonic() - began_s
                    first_bytes = machine.peak_bytes(worker.pid)
                if time.monotonic() > began_s + _TIMEOUT_S or worker.poll() is not None:
                    raise SystemExit(f"bench: {done} of {readings} readings applied")
                time.sleep(_POLL_S)
            drained_s = time.monotonic() - began_s
            used_s, peak_bytes = machine.cpu_s(worker.pid), machine.peak_bytes(worker.pid)
    return {
        "first commit, s": round(first_s or drained_s, 2),
        "drained, s": round(drained_s, 2),
        "CPU per reading, us": round(used_s / (readings - before) * 1e6, 1),
        "peak memory at the first commit, MiB": (first_bytes or peak_bytes) >> 20,
        "peak memory, MiB": peak_bytes >> 20,
    }
