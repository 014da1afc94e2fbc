"""Our aggregator as a process of its own, from the outside."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import redis

from bench import launch, machine
from bench.workers import embedded_valkey
from bench.workers.result import Result
from bench.workers.scenario import PARTITIONS, Scenario, clear, lay_out
from tributary.model.aggregate import Layout
from tributary.settings import Settings
from tributary.store import keys

_POLL_S = 0.02
_SETTLE_S = 1.5  # three heartbeats: all know of each other, and who owns what
_PATIENCE_S = 600.0


def run(url: str, client: redis.Redis, scenario: Scenario, aggregators: int = 1) -> Result:
    """Readings a second from the first commit to the last, and what they cost Redis."""
    clear(client)
    with contextlib.ExitStack() as stack:
        cores = [_core(number, aggregators) for number in range(aggregators)]
        workers = [stack.enter_context(_aggregator(url, core)) for core in cores]
        while client.zcard(keys.WORKERS) < aggregators:
            time.sleep(_POLL_S)
        time.sleep(_SETTLE_S)
        lay_out(client, scenario)  # under their hands: they find the group gone, and begin anew
        while (first := applied(client)) == 0:
            time.sleep(_POLL_S)
        began_s, busy_s = time.perf_counter(), embedded_valkey.busy_s(client)
        worked_s = sum(map(_busy_s, workers))
        last = wait_for(client, scenario.readings)
        took_s = time.perf_counter() - began_s
        cost_s = embedded_valkey.busy_s(client) - busy_s
        worked_s = sum(map(_busy_s, workers)) - worked_s
    done = max(1, last - first)
    return Result(done / took_s, cost_s / done * 1e6, worked_s / done * 1e6, counted(client))


def killed(url: str, client: redis.Redis, scenario: Scenario, pauses_s: list[float]) -> int:
    """Readings counted in the end, after kills at some progress and some time behind it."""
    clear(client)
    lay_out(client, scenario)
    for kill, pause_s in enumerate(pauses_s, 1):
        with _aggregator(url, 1) as process:
            wait_for(client, scenario.readings * kill // (len(pauses_s) + 1))
            time.sleep(pause_s)
            process.kill()
    finish(url, client, scenario.readings)
    return counted(client)


def finish(url: str, client: redis.Redis, readings: int) -> None:
    """Let an aggregator commit everything there is."""
    with _aggregator(url, 1):
        wait_for(client, readings)


def applied(client: redis.Redis) -> int:
    """Readings that are committed."""
    pipeline = client.pipeline(transaction=False)
    for partition in range(PARTITIONS):
        pipeline.hget(keys.meta(partition), "applied")
    return sum(int(count or 0) for count in pipeline.execute())


def counted(client: redis.Redis) -> int:
    """Readings in the totals of all series."""
    settings = Settings()
    layout = Layout(settings.parsed_windows, settings.average_over)
    packed: list[Any] = [p for n in range(PARTITIONS) for p in client.hvals(keys.state(n))]
    return int(np.frombuffer(b"".join(packed), layout.state)["count"].sum())


def wait_for(client: redis.Redis, readings: int) -> int:
    """Wait until so many readings are committed; how many there are then."""
    deadline_s = time.monotonic() + _PATIENCE_S
    while (done := applied(client)) < readings:
        if time.monotonic() > deadline_s:
            raise SystemExit(f"bench: {done} of {readings} readings after {_PATIENCE_S:.0f} s")
        time.sleep(_POLL_S)
    return done


def _core(number: int, aggregators: int) -> int | None:
    """A core beside the server's for each aggregator; none where there are too few."""
    return number + 1 if aggregators < (os.cpu_count() or 1) else None


def _busy_s(process: subprocess.Popen[bytes]) -> float:
    """Processor time a process has used; 0 where the system does not say so in /proc."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def _aggregator(url: str, core: int | None) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tributary", "aggregator", "--redis-url", url]
    if core is not None:
        command = machine.pinned(core, command)
    with (
        tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder,
        launch.process(command, Path(folder) / "log") as process,
    ):
        yield process
