"""The rate that one machine sustains end to end: recorded, applied and readable, with a steady lag.

The load shares the machine with all processes of `tributary up`.
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path

import click
import numpy as np
import redis

from bench import launch, machine, openloop, wrk
from bench.http_request import Request
from bench.peers.payloads import ONE
from tributary.operate import status
from tributary.operate.status import Status
from tributary.settings import Settings

_SAMPLE_S = 1.0
_DRAIN_TIMEOUT_S = 60.0
_REQUEST = Request("POST", "/record", ONE)


class _Lag(threading.Thread):
    """Samples the lag once per second."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(daemon=True)
        self._client = client
        self.entries: list[int] = []
        self.seconds: list[float] = []
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(_SAMPLE_S):
            found = status.read(self._client, Settings())
            self.entries.append(found.lag_entries)
            self.seconds.append(found.lag_s)


@click.command("sustained", epilog="Example: scripts/bench sustained --rate 20000 --seconds 60")
@click.option("--rate", default=0, help="readings per second, open loop; 0: the maximum, with wrk")
@click.option("--seconds", default=60, show_default=True, help="length of the load")
@click.option("--connections", default=32, show_default=True, help="keep-alive connections")
def command(rate: int, seconds: int, connections: int) -> None:
    """Single POSTs end to end: rate, lag over time, and lost readings.

    The exit status is 1 if an accepted reading is not applied within a minute.
    """
    with (
        launch.deployment() as (url, redis_url, _),
        tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder,
    ):
        client = redis.Redis.from_url(redis_url)
        lag = _Lag(client)
        lag.start()
        if rate:
            found = openloop.run(url, _REQUEST, rate=rate, seconds=seconds, connections=connections)
            summary = f"{found.rate:,.0f} per second (target {rate:,}), {found.rejected} rejected"
        else:
            load = wrk.load(url, _REQUEST, Path(folder), connections=connections, seconds=seconds)
            summary = f"{load.rate:,.0f} per second (wrk), {load.rejected} rejected"
        lag.ended.set()
        lag.join()
        final = _drain(client)
        client.close()
    click.echo(f"machine    {machine.description()}")
    click.echo(f"load       {summary}")
    halves = np.array_split(np.array(lag.entries), 2)
    medians = [float(np.median(half)) for half in halves]
    click.echo(
        f"lag        median {medians[0]:,.0f} entries in the first half, {medians[1]:,.0f} in the "
        f"second; maximum {max(lag.entries):,} entries, {max(lag.seconds):.2f} s"
    )
    click.echo(
        f"account    accepted {final.accepted:,}, applied {final.applied:,}, "
        f"lost {final.lost}, refused {final.refused}, pending {final.pending}"
    )
    if final.accepted != final.applied:
        raise SystemExit("bench: not all accepted readings were applied")


def _drain(client: redis.Redis) -> Status:
    deadline_s = time.monotonic() + _DRAIN_TIMEOUT_S
    while True:
        found = status.read(client, Settings())
        if found.pending == 0 or time.monotonic() > deadline_s:
            return found
        time.sleep(0.05)
