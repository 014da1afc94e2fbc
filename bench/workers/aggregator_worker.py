"""Tributary's aggregator, run as a process and observed through Redis."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import redis

from bench import launch, machine, redis_server
from bench.workers.scenario import PARTITIONS, Result, Scenario, clear, restore
from tributary.model.aggregate import Layout
from tributary.model.rows import Shape
from tributary.settings import Settings
from tributary.store import keys, series

_POLL_S = 0.02
_SETTLE_S = 1.5  # three heartbeats, after which partitions have owners
_TIMEOUT_S = 600.0
_PER_READ = 1_000


def run(url: str, client: redis.Redis, scenario: Scenario, aggregators: int = 1) -> Result:
    """Measure from the first commit to the last."""
    clear(client)
    with contextlib.ExitStack() as stack:
        cores = [_core(number, aggregators) for number in range(aggregators)]
        workers = [stack.enter_context(_aggregator(url, core)) for core in cores]
        while client.zcard(keys.WORKERS) < aggregators:
            time.sleep(_POLL_S)
        time.sleep(_SETTLE_S)
        restore(client, scenario)  # deletes the groups, so the aggregators begin again
        while (first := applied(client)) == 0:
            time.sleep(_POLL_S)
        began_s, redis_s = time.perf_counter(), redis_server.cpu_s(client)
        worker_s = sum(machine.cpu_s(worker.pid) for worker in workers)
        last = wait_for(client, scenario.readings)
        took_s = time.perf_counter() - began_s
        redis_s = redis_server.cpu_s(client) - redis_s
        worker_s = sum(machine.cpu_s(worker.pid) for worker in workers) - worker_s
    done = max(1, last - first)
    return Result(done / took_s, redis_s / done * 1e6, worker_s / done * 1e6, counted(client))


def killed(url: str, client: redis.Redis, scenario: Scenario, pauses_s: list[float]) -> int:
    """Kill the worker at several stages; returns the readings counted in the end."""
    clear(client)
    restore(client, scenario)
    for kill, pause_s in enumerate(pauses_s, 1):
        with _aggregator(url, 1) as process:
            wait_for(client, scenario.readings * kill // (len(pauses_s) + 1))
            time.sleep(pause_s)
            process.kill()
    finish(url, client, scenario.readings)
    return counted(client)


def finish(url: str, client: redis.Redis, readings: int, **environ: str) -> None:
    """Run an aggregator, with these variables of the environment, until everything is committed."""
    with _aggregator(url, 1, environ):
        wait_for(client, readings)


def applied(client: redis.Redis) -> int:
    """Committed readings."""
    pipeline = client.pipeline(transaction=False)
    for partition in range(PARTITIONS):
        pipeline.hget(keys.meta(partition), "applied")
    return sum(int(count or 0) for count in pipeline.execute())


def counted(client: redis.Redis) -> int:
    """Readings in the totals of all series."""
    settings = Settings()
    shape = Shape(Layout(settings.parsed_windows, settings.average_over))
    total = 0
    for partition in range(PARTITIONS):
        names: Any = client.hkeys(keys.rows(partition))
        pairs = [
            (device, metric) for device, _, metric in (n.decode().partition("|") for n in names)
        ]
        for first in range(0, len(pairs), _PER_READ):
            found = series.read(client, shape, partition, pairs[first : first + _PER_READ]).series
            packed = b"".join(each.state or b"" for each in found)
            total += int(np.frombuffer(packed, shape.layout.state)["count"].sum())
    return total


def wait_for(client: redis.Redis, readings: int) -> int:
    """Wait until at least `readings` are committed; returns the number."""
    deadline_s = time.monotonic() + _TIMEOUT_S
    while (done := applied(client)) < readings:
        if time.monotonic() > deadline_s:
            raise SystemExit(f"bench: {done} of {readings} readings after {_TIMEOUT_S:.0f} s")
        time.sleep(_POLL_S)
    return done


def _core(number: int, aggregators: int) -> int | None:
    """A core other than the server's; None on a machine with too few cores."""
    return number + 1 if aggregators < (os.cpu_count() or 1) else None


@contextlib.contextmanager
def _aggregator(
    url: str, core: int | None, environ: Mapping[str, str] = MappingProxyType({})
) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tributary", "aggregator", "--redis-url", url]
    if core is not None:
        command = machine.pin(core, command)
    with (
        tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder,
        launch.process(command, Path(folder) / "log", environ) as process,
    ):
        yield process
