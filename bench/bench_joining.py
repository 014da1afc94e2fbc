"""Many new devices join at once: how long the readings of known devices wait meanwhile.

The new devices are recorded as fast as possible, while one known device per partition keeps
recording. Its wait is the time from the 200 until `/collect` shows the reading. With `--waiting`, the
new devices are recorded before an aggregator starts. A memory limit is enforced as by a container:
an aggregator that exceeds it is killed and restarted.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import redis

from bench import launch, machine, redis_server
from bench.joining_senders import PARTITIONS, Fleet, KnownDevices
from tributary.store import keys

_REPORT_EVERY_S = 5.0
_LISTENING = re.compile(r"at=(http://\S+)")


@click.command("joining", epilog="Example: scripts/bench joining --devices 8400 --memory-mib 512")
@click.option("--devices", default=8_400, show_default=True, type=click.IntRange(1, 1_000_000))
@click.option("--metrics", default=64, show_default=True, type=click.IntRange(1, 64))
@click.option("--per-request", default=700, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--single", is_flag=True, help="one device per request")
@click.option("--waiting", is_flag=True, help="record the fleet before an aggregator starts")
@click.option(
    "--rounds",
    default=0,
    type=click.IntRange(0, 100),
    help="measure a restart: the fleet has joined, and records this many rounds meanwhile",
)
@click.option(
    "--memory-mib", default=0, type=click.IntRange(0), help="kill an aggregator that exceeds it"
)
@click.option("--give-up-s", default=300, show_default=True, type=click.IntRange(1, 3_600))
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
def command(**options: Any) -> None:
    """Record many new devices; print the wait of known ones, peak memory, and the time to drain."""
    as_json = options.pop("as_json")
    found = measure(**options)
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"machine  {machine.description()}")
    click.echo("| figure | value |\n|---|---|")
    for name, value in found.items():
        click.echo(f"| {name} | {value} |")


def measure(  # noqa: PLR0913 - one per option
    *,
    devices: int,
    metrics: int,
    per_request: int,
    rounds: int,
    memory_mib: int,
    give_up_s: int,
    single: bool = False,
    waiting: bool = False,
) -> dict[str, Any]:
    """Run once; returns the figures."""
    with contextlib.ExitStack() as stack:
        url, client = stack.enter_context(redis_server.start_embedded())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        at = stack.enter_context(_ingest(url, folder))
        aggregators = stack.enter_context(Aggregators(url, folder, memory_mib).running())
        if rounds:
            _join_fleet(client, Fleet(at, devices, metrics, per_request), url, folder, give_up_s)
        waiting = waiting or rounds > 0
        if not waiting:
            aggregators.start()
        known = KnownDevices(at, url)
        known.introduce(wait=not waiting)
        fleet = Fleet(at, devices, metrics, 1 if single else per_request, max(1, rounds))
        began_s = _start_load(fleet, known, aggregators, give_up_s if waiting else 0)
        first_commit_s, drained_s = _wait_for_drain(client, fleet, aggregators, began_s, give_up_s)
        fleet.stop()
        waits_ms = known.stop()
    return {
        "fleet": f"{devices} devices of {metrics} metrics",
        "memory limit, MiB": memory_mib or "none",
        "fleet recorded, s": round(fleet.took_s, 1),
        "fleet statuses": dict(fleet.statuses),
        "first commit, s": first_commit_s,
        "drained, s": drained_s or f"not within {give_up_s}",
        **_waits(known, waits_ms),
        "peak memory, MiB": aggregators.peak_mib,
        "killed for memory": aggregators.killed,
    }


def _start_load(fleet: Fleet, known: KnownDevices, aggregators: Aggregators, wait_s: int) -> float:
    """Start the load, after the fleet if `wait_s` is given; returns the start of the measurement."""
    began_s = time.monotonic()
    fleet.start()
    if wait_s:
        fleet.join(wait_s)
        began_s = time.monotonic()
        aggregators.start()
    known.start()
    return began_s


def _join_fleet(client: redis.Redis, fleet: Fleet, url: str, folder: Path, give_up_s: int) -> None:
    """Record a fleet, wait until it is applied, and stop the aggregator."""
    with Aggregators(url, folder, 0).running() as aggregators:
        aggregators.start()
        fleet.start()
        _wait_for_drain(client, fleet, aggregators, time.monotonic(), give_up_s)


def _waits(known: KnownDevices, waits_ms: list[float]) -> dict[str, Any]:
    return {
        "known devices: rejected": known.rejected,
        "known devices: readings": len(waits_ms),
        "wait p50, ms": _quantile(waits_ms, 0.5),
        "wait p99, ms": _quantile(waits_ms, 0.99),
        "wait max, ms": _quantile(waits_ms, 1.0),
    }


def _wait_for_drain(
    client: redis.Redis, fleet: Fleet, aggregators: Aggregators, began_s: float, give_up_s: int
) -> tuple[float | None, float | None]:
    """Seconds to the first commit and to the drain; None: timed out."""
    first_s: float | None = None
    report_at_s = began_s
    done_before = _entries(client)[1]
    while (now_s := time.monotonic()) < began_s + give_up_s:
        entries, done = _entries(client)
        if first_s is None and done > done_before:
            first_s = round(now_s - began_s, 2)
        if not fleet.is_alive() and entries == done:
            return first_s, round(now_s - began_s, 1)
        if now_s >= report_at_s:
            report_at_s = now_s + _REPORT_EVERY_S
            line = f"{now_s - began_s:5.0f} s: {fleet.sent} of {fleet.readings} readings sent, "
            click.echo(
                f"{line}{entries - done} entries pending, {aggregators.peak_mib} MiB", err=True
            )
        time.sleep(0.02)
    return first_s, None


def _entries(client: redis.Redis) -> tuple[int, int]:
    """Entries appended and entries done, over all partitions."""
    pipeline = client.pipeline(transaction=False)
    for partition in range(PARTITIONS):
        pipeline.hmget(keys.meta(partition), "entries", "done_entries", "begun_entry")
    counts: list[list[bytes | None]] = pipeline.execute()
    entries, done = (sum(int(c[n] or 0) for c in counts) for n in range(2))
    return entries, done - sum(int(c[2] or 0) > 0 for c in counts)


class Aggregators:
    """An aggregator that is killed above a memory limit and restarted when it exits."""

    def __init__(self, url: str, folder: Path, memory_mib: int) -> None:
        self.peak_mib = self.killed = 0
        self._url, self._folder, self._memory_mib = url, folder, memory_mib
        self._stack = contextlib.ExitStack()
        self._stopping = threading.Event()
        self._monitor = threading.Thread(target=self._supervise, daemon=True)

    @contextlib.contextmanager
    def running(self) -> Iterator[Aggregators]:
        """Stop the aggregator at the end; it is started by `start`."""
        try:
            yield self
        finally:
            self._stopping.set()
            if self._monitor.is_alive():
                self._monitor.join(30)
            self._stack.close()

    def start(self) -> None:
        """Start and supervise the aggregator."""
        self._monitor.start()

    def _supervise(self) -> None:
        command = [sys.executable, "-m", "tributary", "aggregator", "--redis-url", self._url]
        number = 0
        while not self._stopping.is_set():
            number += 1
            log = self._folder / f"aggregator-{number}.log"
            with launch.process(command, log) as process:
                while process.poll() is None and not self._stopping.wait(0.02):
                    resident = machine.resident_bytes(process.pid) >> 20
                    self.peak_mib = max(self.peak_mib, resident)
                    if self._memory_mib and resident > self._memory_mib:
                        self.killed += 1
                        process.kill()
                        process.wait()


@contextlib.contextmanager
def _ingest(url: str, folder: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "tributary", "ingest", "--port", "0", "--redis-url", url]
    log = folder / "ingest.log"
    with launch.process(command, log) as process:
        launch.wait_until_ready(
            lambda: _LISTENING.search(log.read_text()) is not None, process, log
        )
        found = _LISTENING.search(log.read_text())
        assert found is not None
        yield found[1].removeprefix("http://")


def _quantile(values: list[float], share: float) -> int | None:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))]) if ordered else None
