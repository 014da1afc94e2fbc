"""`scripts/chaos histories`: random histories on a simulated clock and network."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import click
from loguru import logger
from rich.progress import track
from support.processes import Server

from faults.simulated_history import STEPS, Outcome, Simulator

_AT_ONCE = 20  # histories, until a process reports them and collects its garbage
_FORK = multiprocessing.get_context("fork")
_simulator: Simulator  # of this process


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
@click.option("--steps", default=STEPS, show_default=True, type=click.IntRange(1),
              help="random steps of a history")  # fmt: skip
@click.option("--processes", default=os.cpu_count(), type=click.IntRange(1),
              help="processes, each with a server; default: one for each core")  # fmt: skip
def command(count: int, seed: int | None, steps: int, processes: int) -> None:
    """Run aggregators on a simulated clock and network, and audit every aggregate.

    Aggregators are killed, suspended and cut off, replies are late, scripts and groups are
    dropped, and devices forgotten. A history depends on its seed and its number of steps alone,
    so that what fails fails again.
    """
    seed = random.SystemRandom().randrange(1 << 16) if seed is None else seed
    began_s = time.monotonic()
    outcomes = list(_outcomes(range(seed, seed + count), steps, processes))
    took_s = time.monotonic() - began_s
    failed = sorted(one.seed for one in outcomes if one.violations)
    click.echo(
        f"{'FAILED' if failed else 'ok'}: {count} histories of {steps} steps from seed {seed}, "
        f"{60 * count / took_s:.0f} per minute in {processes} processes, "
        f"{sum(o.seconds for o in outcomes) / 3600:.1f} simulated hours: "
        f"{sum(o.readings for o in outcomes)} readings, {sum(o.kills for o in outcomes)} kills, "
        f"{sum(o.tombstones for o in outcomes)} devices forgotten; {len(failed)} with a difference"
    )
    for number in failed[:10]:
        click.echo(f"  again: scripts/chaos histories --seed {number} --count 1 --steps {steps}")
    sys.exit(1 if failed else 0)


def _outcomes(seeds: range, steps: int, processes: int) -> Iterator[Outcome]:
    """Run the histories of some seeds; the outcomes in the order in which they are known."""
    parts = [seeds[first : first + _AT_ONCE] for first in range(0, len(seeds), _AT_ONCE)]
    with contextlib.ExitStack() as stack:
        pools = [
            stack.enter_context(
                ProcessPoolExecutor(1, _FORK, _begin, (stack.enter_context(server()),))
            )
            for _ in range(min(processes, len(parts)))
        ]
        running = [
            pools[number % len(pools)].submit(_run, part, steps)
            for number, part in enumerate(parts)
        ]
        for part in track(as_completed(running), "histories", len(running), transient=True):
            for outcome in part.result():
                for violation in outcome.violations:
                    click.echo(f"seed {outcome.seed}: {violation}")
                yield outcome


def _begin(running: Server) -> None:
    global _simulator
    logger.remove()
    _simulator = Simulator(running)
    # Else each history looks through all that is imported, again and again.
    gc.collect()
    gc.freeze()
    gc.disable()


def _run(seeds: range, steps: int) -> list[Outcome]:
    outcomes = [_simulator.run(seed, steps) for seed in seeds]
    gc.collect()
    return outcomes
