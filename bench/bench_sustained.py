"""The rate that one machine sustains end to end: recorded, applied and readable, with a steady lag.

The load is a fleet, and shares the machine with all processes of `tributary up`.
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import redis

from bench import launch, machine, openloop, redis_server, wrk
from bench.http_request import Request
from bench.peers.payloads import FLEET, FLEET_DEVICES
from tributary.operate import status
from tributary.operate.status import Status
from tributary.settings import Settings

_SAMPLE_S = 1.0
_DRAIN_TIMEOUT_S = 60.0
_REQUEST = Request("POST", "/record", FLEET, numbers=FLEET_DEVICES)
_TRIAL_S = 10.0  # at most a fifth of the run
_SHARE = 0.8  # of what was applied per second of the trial
_FLAT_S = 1.0  # by how much the median lag of the second half may exceed that of the first
_ROLES = ("web", "aggregator", "jobs")


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

    def summary(self) -> str:
        """Its medians, and whether it grew."""
        early, late = (float(np.median(half)) for half in np.array_split(self.entries, 2))
        early_s, late_s = (float(np.median(half)) for half in np.array_split(self.seconds, 2))
        verdict = "flat" if late_s <= early_s + _FLAT_S else "**growing**"
        return (
            f"{verdict}: median {early:,.0f} entries ({early_s:.2f} s) in the first half, "
            f"{late:,.0f} ({late_s:.2f} s) in the second; "
            f"maximum {max(self.entries):,} entries, {max(self.seconds):.2f} s"
        )


class _Used(NamedTuple):
    """CPU seconds so far, by role, and of Redis."""

    roles_s: list[float]
    redis_s: float


@click.command("sustained", epilog="Example: scripts/bench sustained --rate 20000 --seconds 300")
@click.option(
    "--rate", default=0, help="readings per second; 0: four fifths of what a short trial applied"
)
@click.option("--seconds", default=300, show_default=True, help="length of the load")
@click.option("--connections", default=64, show_default=True, help="keep-alive connections")
def command(rate: int, seconds: int, connections: int) -> None:
    """Single POSTs of a fleet end to end, open loop: rate, lag over time, and lost readings.

    The exit status is 1 if an accepted reading is not applied within a minute.
    """
    with launch.deployment() as (url, redis_url, _):
        client = redis.Redis.from_url(redis_url)
        rate = rate or _trial(url, client, min(_TRIAL_S, seconds / 5), connections)
        lag = _Lag(client)
        before = _used(client)
        lag.start()
        found = openloop.run(url, _REQUEST, rate=rate, seconds=seconds, connections=connections)
        lag.ended.set()
        lag.join()
        final = drain(client)
        after = _used(client)
        client.close()
    click.echo(f"machine    {machine.description()}")
    click.echo(
        f"load       {FLEET_DEVICES:,} devices, {found.rate:,.0f} readings per second "
        f"(target {rate:,}) for {seconds} s, {found.rejected} rejected, {found.errors} errors"
    )
    click.echo(f"lag        {lag.summary()}")
    click.echo(f"cost       {_cost(before, after, found.succeeded)}")
    click.echo(
        f"account    accepted {final.accepted:,}, applied {final.applied:,}, "
        f"lost {final.lost}, refused {final.refused}, pending {final.pending}"
    )
    if final.accepted != final.applied:
        raise SystemExit("bench: not all accepted readings were applied")


def _trial(url: str, client: redis.Redis, seconds: float, connections: int) -> int:
    """A rate to sustain: a share of what is applied per second when requests come at will."""
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        wrk.load(url, _REQUEST, Path(folder), connections=connections, seconds=seconds)
    applied = drain(client).applied
    return max(1, round(_SHARE * applied / (time.monotonic() - began_s)))


def _used(client: redis.Redis) -> _Used:
    roles_s = [machine.cpu_s(launch.role_pid(role)) for role in _ROLES]
    return _Used(roles_s, redis_server.cpu_s(client))


def _cost(before: _Used, after: _Used, readings: int) -> str:
    """CPU time per reading by role, with the share of the history in Redis and jobs."""
    spent = {
        role: now_s - then_s
        for role, then_s, now_s in zip(_ROLES, before.roles_s, after.roles_s, strict=True)
    }
    spent["Redis"] = after.redis_s - before.redis_s
    return ", ".join(f"{name} {s / max(1, readings) * 1e6:.1f} µs" for name, s in spent.items()) + (
        " of CPU time per reading"
    )


def drain(client: redis.Redis) -> Status:
    """Wait until every accepted reading is applied, at most a minute; returns the status then."""
    deadline_s = time.monotonic() + _DRAIN_TIMEOUT_S
    while True:
        found = status.read(client, Settings())
        if found.pending == 0 or time.monotonic() > deadline_s:
            return found
        time.sleep(0.05)
