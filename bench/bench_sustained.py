"""How much one machine sustains end to end: readings in, counted and readable, lag not growing.

Everything that `tributary up` starts shares the machine with the load.
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
_DRAIN_PATIENCE_S = 60.0
_REQUEST = Request("POST", "/record", ONE)


class _Lag(threading.Thread):
    """Entries not yet applied, once a second."""

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
@click.option("--rate", default=0, help="readings a second, open loop; 0: as many as wrk gets in")
@click.option("--seconds", default=60, show_default=True, help="how long")
@click.option("--connections", default=32, show_default=True, help="kept connections")
def command(rate: int, seconds: int, connections: int) -> None:
    """Single POSTs end to end: rate, lag over time, and whether anything is lost.

    The exit code is 1 if not everything that was accepted is applied within a minute.
    """
    with (
        launch.deployment() as (url, redis_url),
        tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder,
    ):
        client = redis.Redis.from_url(redis_url)
        lag = _Lag(client)
        lag.start()
        if rate:
            found = openloop.run(url, _REQUEST, rate=rate, seconds=seconds, connections=connections)
            told = (
                f"{found.rate:,.0f} answered a second (asked for {rate:,}), {found.refused} refused"
            )
        else:
            load = wrk.load(url, _REQUEST, Path(folder), connections=connections, seconds=seconds)
            told = f"{load.rate:,.0f} answered a second (wrk), {load.refused} refused"
        lag.ended.set()
        lag.join()
        account = _drained(client)
        client.close()
    click.echo(f"machine    {machine.described()}")
    click.echo(f"load       {told}")
    halves = np.array_split(np.array(lag.entries), 2)
    middles = [float(np.median(half)) for half in halves]
    click.echo(
        f"lag        median {middles[0]:,.0f} entries in the first half, {middles[1]:,.0f} in the "
        f"second; most {max(lag.entries):,} entries, {max(lag.seconds):.2f} s"
    )
    click.echo(
        f"account    accepted {account.accepted:,}, applied {account.applied:,}, "
        f"lost {account.lost}, refused {account.refused}, pending {account.pending}"
    )
    if account.accepted != account.applied:
        raise SystemExit("bench: not every accepted reading was applied")


def _drained(client: redis.Redis) -> Status:
    deadline_s = time.monotonic() + _DRAIN_PATIENCE_S
    while True:
        found = status.read(client, Settings())
        if found.pending == 0 or time.monotonic() > deadline_s:
            return found
        time.sleep(0.05)
