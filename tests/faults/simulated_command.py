"""`scripts/chaos histories`: random histories on a simulated clock and network."""

from __future__ import annotations

import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
from loguru import logger
from rich.progress import track
from support.processes import Server

from faults import simulated_history
from faults.simulated_history import Outcome


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """A server for histories, which writes no file: each begins with an empty one."""
    with tempfile.TemporaryDirectory(prefix="tributary-histories-") as folder:
        running = Server(Path(folder), appendonly="no", save="")
        try:
            yield running
        finally:
            running.close()


@click.command("histories", epilog="Example: scripts/chaos histories --seed 7 --count 1")
@click.option("--count", default=1_000, show_default=True, help="number of histories")
@click.option("--seed", type=int, help="of the first; each further one has the next number")
def command(count: int, seed: int | None) -> None:
    """Run aggregators on a simulated clock and network, and audit every aggregate.

    Aggregators are killed, suspended and cut off, replies are late, scripts and groups are
    dropped, and devices forgotten. A history depends on its seed alone, so that what fails fails
    again.
    """
    seed = random.SystemRandom().randrange(1 << 16) if seed is None else seed
    logger.remove()
    outcomes: list[Outcome] = []
    with server() as running:
        settings = simulated_history.settings_of(running.url)
        began_s = time.monotonic()
        for one in track(range(seed, seed + count), "histories", transient=True):
            outcomes.append(simulated_history.run(running.client, settings, one))
            for violation in outcomes[-1].violations:
                click.echo(f"seed {one}: {violation}")
        took_s = time.monotonic() - began_s
    failed = [one.seed for one in outcomes if one.violations]
    click.echo(
        f"{'FAILED' if failed else 'ok'}: {count} histories from seed {seed}, "
        f"{60 * count / took_s:.0f} per minute, {sum(o.seconds for o in outcomes) / 3600:.1f} "
        f"simulated hours: {sum(o.readings for o in outcomes)} readings, "
        f"{sum(o.kills for o in outcomes)} kills, {sum(o.tombstones for o in outcomes)} devices "
        f"forgotten; {len(failed)} with a difference"
    )
    for number in failed[:10]:
        click.echo(f"  again: scripts/chaos histories --seed {number} --count 1")
    sys.exit(1 if failed else 0)
