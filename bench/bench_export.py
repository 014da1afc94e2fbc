"""Time and peak memory of `tributary export`, for a small and a large number of rows.

The command runs as a process of its own, so its peak includes the interpreter and all imports; the
difference between the two sizes is what an export takes more the larger it is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import click
import redis

from bench import machine, redis_server
from bench.workers.scenario import METRIC, START_MS
from tributary.model.frame import Block, pack
from tributary.store import keys

_PER_ENTRY = 1_000
_SMALL_ROWS = 10_000
_CHUNK = 100
_FORMATS = ("csv", "ndjson", "parquet")


class Sample(NamedTuple):
    """One run of the command."""

    format: str
    rows: int
    seconds: float
    cpu_s: float
    file_mb: float
    peak_mb: float


@click.command("export", epilog="Example: scripts/bench export --rows 1000000")
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(1_000))
@click.option("--binary", default="", help="server program; default: the embedded Valkey")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
def command(rows: int, binary: str, *, as_json: bool) -> None:
    """Time and peak memory of an export of readings from the stream."""
    with redis_server.start_embedded(binary) as (url, client):
        samples = [
            _measure(url, format_, size)
            for size in (_SMALL_ROWS, rows)
            if fill(client, size // _PER_ENTRY)
            for format_ in _FORMATS
        ]
    if as_json:
        click.echo(json.dumps([sample._asdict() for sample in samples]))
        return
    click.echo(f"machine  {machine.description()}")
    for warning in machine.load_warning():
        click.echo(warning)
    click.echo(
        "| format | rows | seconds | of CPU | file | peak memory |\n|---|---|---|---|---|---|"
    )
    for each in samples:
        click.echo(
            f"| {each.format} | {each.rows:,} | {each.seconds:.1f} | "
            f"{each.cpu_s:.1f} | {each.file_mb:.1f} MB | {each.peak_mb:.0f} MB |"
        )


def fill(client: redis.Redis, entries: int) -> int:
    """A stream of this length, as if its entries were applied; returns the length."""
    client.flushall()
    pipeline = client.pipeline(transaction=False)
    last = b"0-0"
    for number in range(1, entries + 1):
        first = number * _PER_ENTRY
        blocks = [
            Block(f"car-{n % 100}", START_MS + n * 10, {METRIC: n / 7})
            for n in range(first, first + _PER_ENTRY)
        ]
        fields: Any = {"e": number, "n": first, "r": pack(blocks)}
        pipeline.xadd(keys.readings(0), fields)
        if len(pipeline) >= _CHUNK or number == entries:
            last = pipeline.execute()[-1]
    client.hset(keys.meta(0), mapping={"entries": entries, "done_entries": entries, "hwm": last})
    client.hset(keys.CONFIG, "partitions", "1")
    return entries


def _measure(url: str, format_: str, rows: int) -> Sample:
    """Export everything with the command, on the other core than Redis."""
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        file = Path(folder) / f"all.{format_}"
        words = [sys.executable, "-m", "tributary", "export", str(file), "--redis-url", url]
        began_s = time.monotonic()
        process = subprocess.Popen(machine.pin(machine.LOAD_CORE, words), stderr=subprocess.PIPE)
        stderr = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began_s
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode or not stderr.startswith(f"{rows} rows".encode()):
            raise click.ClickException(stderr.decode())
        file_mb, peak_mb = file.stat().st_size / 1e6, usage.ru_maxrss * 1024 / 1e6
        cpu_s = usage.ru_utime + usage.ru_stime
        return Sample(format_, rows, seconds, cpu_s, file_mb, peak_mb)
