"""What each durability level costs, and how long WAITAOF would wait instead."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import click
import redis

from bench import launch, wrk
from bench.http_request import Request
from bench.peers import payloads

_LEVELS = ("memory", "aof", "fsync")
_WRITES = 20


@click.command("durability", epilog="Example: scripts/bench durability --seconds 5 --rounds 3")
@click.option("--seconds", default=3, show_default=True, help="seconds of load per level and round")
@click.option(
    "--rounds", default=3, show_default=True, help="rounds; each measures every level once"
)
@click.option("--connections", default=32, show_default=True, help="keep-alive connections")
def command(seconds: int, rounds: int, connections: int) -> None:
    """Requests per second at each level, single and in arrays, and the wait of WAITAOF 1 0.

    All single POSTs are of one device, so each tick has one frame; with many devices everything
    but the fsync costs more. An array has 1,000 readings of 100 devices.
    """
    requests = {
        "single POSTs/s of one device": Request("POST", "/record", payloads.ONE),
        "arrays of 1,000/s": Request("POST", "/record", payloads.Batch(timed=False).array()),
    }
    loads_by_run: dict[tuple[str, str], list[wrk.Load]] = {}
    for _ in range(rounds):
        for level in _LEVELS:
            with (
                tempfile.TemporaryDirectory() as folder,
                launch.deployment("--durability", level) as (url, *_),
            ):
                for kind, request in requests.items():
                    load = wrk.load(
                        url, request, Path(folder), connections=connections, seconds=seconds
                    )
                    loads_by_run.setdefault((level, kind), []).append(load)
    for (level, kind), loads in sorted(
        loads_by_run.items(), key=lambda each: each[0][1], reverse=True
    ):
        rate = statistics.median(load.rate for load in loads)
        p99_ms = statistics.median(load.p99_us for load in loads) / 1000
        click.echo(f"{level:<8} {rate:>9,.0f} {kind:<28}  p99 {p99_ms:7.2f} ms")
    click.echo(_waitaof())


def _waitaof() -> str:
    """How long WAITAOF 1 0 waits with fsync every second."""
    with (
        launch.deployment("--durability", "aof") as (_, redis_url, _),
        redis.Redis.from_url(redis_url) as client,
    ):
        waits_ms = []
        try:
            for number in range(_WRITES):
                client.set("tributary:bench", number)
                began_s = time.monotonic()
                client.execute_command("WAITAOF", 1, 0, 5000)
                waits_ms.append((time.monotonic() - began_s) * 1000)
        except redis.ResponseError as error:
            return f"WAITAOF is not available: {error}"
    return (
        f"WAITAOF 1 0 with appendfsync everysec: median {statistics.median(waits_ms):.2f} ms, "
        f"longest {max(waits_ms):.2f} ms for a single writer on this disk"
    )
