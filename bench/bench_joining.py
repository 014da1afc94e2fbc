"""A fleet that joins all at once: what a device that was there before has to wait meanwhile.

A fleet of new devices is recorded as fast as it is taken, while sixteen known devices, one of
each partition, go on recording. Their wait is the time from the 200 until `/collect` would show
the reading. With `--waiting` the fleet is recorded before any aggregator runs. A memory limit
is enforced as a container would: whoever exceeds it is killed, and started again.
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

from bench import launch, machine
from bench.joining_senders import PARTITIONS, Fleet, Known
from bench.workers import embedded_valkey
from tributary.store import keys

_REPORT_EVERY_S = 5.0
_SERVES = re.compile(r"at=(http://\S+)")


@click.command("joining", epilog="Example: scripts/bench joining --devices 8400 --memory-mib 512")
@click.option("--devices", default=8_400, show_default=True, type=click.IntRange(1, 1_000_000))
@click.option("--metrics", default=64, show_default=True, type=click.IntRange(1, 64))
@click.option("--per-request", default=700, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--single", is_flag=True, help="one device to a request, on many connections")
@click.option("--waiting", is_flag=True, help="the fleet is recorded before an aggregator runs")
@click.option(
    "--rounds",
    default=0,
    type=click.IntRange(0, 100),
    help="measure a restart instead: the fleet has joined, and records so often meanwhile",
)
@click.option("--memory-mib", default=0, type=click.IntRange(0), help="kill an aggregator above it")
@click.option("--give-up-s", default=300, show_default=True, type=click.IntRange(1, 3_600))
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
def command(**options: Any) -> None:
    """Record a fleet of new devices; the wait of others, peak memory, and the time to drain."""
    as_json = options.pop("as_json")
    found = measure(**options)
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"machine  {machine.described()}")
    click.echo("| figure | value |\n|---|---|")
    for name, value in found.items():
        click.echo(f"| {name} | {value} |")


def measure(  # noqa: PLR0913 - all of it is asked for by name
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
    """The figures of one run."""
    with contextlib.ExitStack() as stack:
        url, client = stack.enter_context(embedded_valkey.started())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        at = stack.enter_context(_ingest(url, folder))
        aggregators = stack.enter_context(Aggregators(url, folder, memory_mib).running())
        if rounds:
            _joined(client, Fleet(at, devices, metrics, per_request), url, folder, give_up_s)
        waiting = waiting or rounds > 0
        if not waiting:
            aggregators.start()
        known = Known(at, url)
        known.introduce(wait=not waiting)
        fleet = Fleet(at, devices, metrics, 1 if single else per_request, max(1, rounds))
        began_s = _begun(fleet, known, aggregators, give_up_s if waiting else 0)
        first_commit_s, drained_s = _watched(client, fleet, aggregators, began_s, give_up_s)
        fleet.stop()
        waits_ms = known.stop()
    return {
        "fleet": f"{devices} devices of {metrics} metrics",
        "memory limit, MiB": memory_mib or "none",
        "fleet recorded, s": round(fleet.took_s, 1),
        "fleet answers": dict(fleet.answers),
        "first commit, s": first_commit_s,
        "drained, s": drained_s or f"not in {give_up_s}",
        **_waits(known, waits_ms),
        "peak memory, MiB": aggregators.peak_mib,
        "killed for memory": aggregators.killed,
    }


def _begun(fleet: Fleet, known: Known, aggregators: Aggregators, wait_s: int) -> float:
    """Let the fleet record, and if it is to wait, only then aggregate; when it began."""
    began_s = time.monotonic()
    fleet.start()
    if wait_s:
        fleet.join(wait_s)
        began_s = time.monotonic()
        aggregators.start()
    known.start()
    return began_s


def _joined(client: redis.Redis, fleet: Fleet, url: str, folder: Path, give_up_s: int) -> None:
    """Let a fleet join, and stop the aggregator when all of it is applied."""
    with Aggregators(url, folder, 0).running() as aggregators:
        aggregators.start()
        fleet.start()
        _watched(client, fleet, aggregators, time.monotonic(), give_up_s)


def _waits(known: Known, waits_ms: list[float]) -> dict[str, Any]:
    return {
        "known devices: refused": known.refused,
        "known devices: readings": len(waits_ms),
        "wait p50, ms": _quantile(waits_ms, 0.5),
        "wait p99, ms": _quantile(waits_ms, 0.99),
        "wait worst, ms": _quantile(waits_ms, 1.0),
    }


def _watched(
    client: redis.Redis, fleet: Fleet, aggregators: Aggregators, began_s: float, give_up_s: int
) -> tuple[float | None, float | None]:
    """Seconds to the first commit and until nothing is pending; None: not in time."""
    first_s: float | None = None
    report_at_s = began_s
    done_before = _numbers(client)[1]
    while (now_s := time.monotonic()) < began_s + give_up_s:
        entries, done = _numbers(client)
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


def _numbers(client: redis.Redis) -> tuple[int, int]:
    """Entries appended and entries accounted for, of all partitions."""
    asked = client.pipeline(transaction=False)
    for partition in range(PARTITIONS):
        asked.hmget(keys.meta(partition), "entries", "done_entries", "begun_entry")
    counts: list[list[bytes | None]] = asked.execute()
    entries, done = (sum(int(c[n] or 0) for c in counts) for n in range(2))
    return entries, done - sum(int(c[2] or 0) > 0 for c in counts)


class Aggregators:
    """An aggregator that is started again when it ends, and killed above a limit."""

    def __init__(self, url: str, folder: Path, memory_mib: int) -> None:
        self.peak_mib = self.killed = 0
        self._url, self._folder, self._memory_mib = url, folder, memory_mib
        self._stack = contextlib.ExitStack()
        self._is_over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    @contextlib.contextmanager
    def running(self) -> Iterator[Aggregators]:
        """Nothing runs before `start`; everything is stopped at the end."""
        try:
            yield self
        finally:
            self._is_over.set()
            if self._keeper.is_alive():
                self._keeper.join(30)
            self._stack.close()

    def start(self) -> None:
        """Start it, and look after it from now on."""
        self._keeper.start()

    def _keep(self) -> None:
        command = [sys.executable, "-m", "tributary", "aggregator", "--redis-url", self._url]
        number = 0
        while not self._is_over.is_set():
            number += 1
            log = self._folder / f"aggregator-{number}.log"
            with launch.process(command, log) as process:
                while process.poll() is None and not self._is_over.wait(0.02):
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
        launch.wait_until_it_answers(
            lambda: _SERVES.search(log.read_text()) is not None, process, log
        )
        found = _SERVES.search(log.read_text())
        assert found is not None
        yield found[1].removeprefix("http://")


def _quantile(values: list[float], share: float) -> int | None:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))]) if ordered else None
