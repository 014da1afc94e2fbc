"""What each level of durability costs, and whether waiting for an fsync per tick would be cheaper."""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import AbstractContextManager
from pathlib import Path

import click
import redis

from bench import launch, wrk
from bench.http_request import Request
from bench.peers import payloads

_LEVELS = ("memory", "aof", "fsync")
_WAITS = 20


@click.command("durability", epilog="Example: scripts/bench durability --seconds 5 --rounds 3")
@click.option("--seconds", default=3, show_default=True, help="of load, per level and round")
@click.option("--rounds", default=3, show_default=True, help="levels take turns in each")
@click.option("--connections", default=32, show_default=True, help="kept connections")
def command(seconds: int, rounds: int, connections: int) -> None:
    """Requests per second at each level, single and in arrays, and how long WAITAOF 1 0 waits.

    The single POSTs are of one device, which means one frame per tick: a fleet pays more for
    everything but the fsync. An array holds 1,000 readings of 100 devices.
    """
    requests = {
        "single POSTs/s of one device": Request("POST", "/record", payloads.ONE),
        "arrays of 1,000/s": Request("POST", "/record", payloads.Batch(timed=False).array()),
    }
    seen: dict[tuple[str, str], list[wrk.Load]] = {}
    for _ in range(rounds):
        for level in _LEVELS:
            with tempfile.TemporaryDirectory() as folder, _site(level) as (url, _):
                for kind, request in requests.items():
                    load = wrk.load(
                        url, request, Path(folder), connections=connections, seconds=seconds
                    )
                    seen.setdefault((level, kind), []).append(load)
    for (level, kind), loads in sorted(seen.items(), key=lambda each: each[0][1], reverse=True):
        rate = statistics.median(load.rate for load in loads)
        p99_ms = statistics.median(load.p99_us for load in loads) / 1000
        click.echo(f"{level:<8} {rate:>9,.0f} {kind:<28}  p99 {p99_ms:7.2f} ms")
    click.echo(_waits())


def _site(level: str) -> AbstractContextManager[tuple[str, str]]:
    return launch.deployment("--durability", level)


def _waits() -> str:
    """How long a write waits for WAITAOF 1 0 where fsync runs every second."""
    with _site("aof") as (_, redis_url), redis.Redis.from_url(redis_url) as client:
        took_ms = []
        try:
            for number in range(_WAITS):
                client.set("tributary:bench", number)
                begun_s = time.monotonic()
                client.execute_command("WAITAOF", 1, 0, 5000)
                took_ms.append((time.monotonic() - begun_s) * 1000)
        except redis.ResponseError as error:
            return f"WAITAOF is not available: {error}"
    return (
        f"WAITAOF 1 0 with appendfsync everysec: median {statistics.median(took_ms):.2f} ms, "
        f"longest {max(took_ms):.2f} ms for a single writer on this disk"
    )
