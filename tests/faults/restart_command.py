"""`scripts/chaos restarts`: restart every process in turn, again and again, under load."""

from __future__ import annotations

import contextlib
import math
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from rich.progress import track

from faults.rolling import BESIDE, PER_ROLE, ROLES, Outcome, Rolling


def run(folder: Path, count: int, seed: int, within_s: float = math.inf) -> Outcome:
    """Restart everything `count` times, or as often as it can within a time.

    Raises:
        AssertionError: a process did not start, or the load stopped.
    """
    with contextlib.closing(Rolling(folder, seed)) as rolling:
        total = count * PER_ROLE * len((*ROLES, *BESIDE))
        until_s = time.monotonic() + within_s
        for _ in track(rolling.rounds(count), f"restarting, seed {seed}", total, transient=True):
            if time.monotonic() > until_s:
                break
        return rolling.outcome()


def lines(outcome: Outcome, what: str) -> Iterator[str]:
    """The outcome as text: totals, then a line per role and per violation."""
    verdict, found = outcome.verdict, outcome.violations
    yield (
        f"{'FAILED' if found else 'ok'}: {what}, {len(outcome.restarts)} restarts: "
        f"requests {sum((outcome.sent + outcome.collected).values())}, "
        f"client errors {outcome.client_errors}, acknowledged {verdict.acknowledged}, "
        f"lost {verdict.lost + verdict.uncounted}, "
        f"duplicated {verdict.duplicated + verdict.overcounted}, "
        f"longest response of /collect {outcome.longest_s:.1f} s"
    )
    if outcome.beside:
        yield f"  {outcome.beside}"
    for role in (*ROLES, *BESIDE):
        times = [(each.stopped_s, each.ready_s) for each in outcome.restarts if each.role == role]
        if times:
            (stop50, ready50), (stop99, ready99) = np.percentile(np.array(times), [50, 99], axis=0)
            yield (
                f"  {role}: {len(times)} restarts, stopped p50 {stop50:.1f} s, p99 {stop99:.1f} s, "
                f"ready p50 {ready50:.1f} s, p99 {ready99:.1f} s"
            )
    yield from (f"  {violation}" for violation in found)


@click.command("restarts", epilog="Example: scripts/chaos restarts --count 3")
@click.option("--count", default=50, show_default=True, help="restarts of each process")
@click.option("--seed", type=int, help="seed of the load; random by default, and printed")
@click.option(
    "--minutes", default=0.0, help="end after this time, with fewer restarts; 0: no limit"
)
def command(count: int, seed: int | None, minutes: float) -> None:
    """Restart two processes of each role in turn under load, HTTP behind nginx.

    Counts requests without a 200, lost and duplicated readings and messages, and jobs without
    their effect; needs nginx and mosquitto.
    """
    seed = random.SystemRandom().randrange(1 << 16) if seed is None else seed
    with tempfile.TemporaryDirectory(prefix="tributary-restarts-") as folder:
        outcome = run(Path(folder), count, seed, minutes * 60 or math.inf)
    for line in lines(outcome, f"rolling restarts, seed {seed}"):
        click.echo(line)
    sys.exit(1 if outcome.violations else 0)
