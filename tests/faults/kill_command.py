"""`scripts/chaos kills`: run a kill storm and print its result."""

from __future__ import annotations

import contextlib
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from rich.progress import track

from faults.kills import Durability, Options, Outcome, Storm


def storm(folder: Path, options: Options) -> Outcome:
    """Run a storm with its data below `folder`.

    Raises:
        AssertionError: the service did not recover.
    """
    running = Storm(folder, options)
    with contextlib.closing(running):
        title = f"killing, seed {options.seed}"
        for _ in track(running.run(), title, total=options.kills, transient=True):
            pass
        return running.outcome()


def violations(options: Options, outcome: Outcome) -> list[str]:
    """Violations of what this durability level guarantees."""
    verdict = outcome.verdict
    found = list(outcome.problems)
    if verdict.lost and not options.may_lose:
        found.append(f"{verdict.lost} acknowledged readings are not stored")
    if verdict.duplicated or verdict.overcounted:
        found.append(f"{verdict.duplicated + verdict.overcounted} readings are counted twice")
    if verdict.unexpected:
        found.append(f"{verdict.unexpected} refused readings are stored")
    return found + verdict.miscounted


def lines(options: Options, outcome: Outcome) -> Iterator[str]:
    """The outcome as text: totals, then a line per kind of process and per violation."""
    verdict, found = outcome.verdict, violations(options, outcome)
    disk = f"fdatasync +{options.slow_disk_ms} ms" if options.slow_disk_ms else "normal disk"
    yield (
        f"{'FAILED' if found else 'ok'}: {sum(outcome.kills.values())} kills, "
        f"durability {options.durability}, {disk}, seed {options.seed}: "
        f"acknowledged {verdict.acknowledged}, lost {verdict.lost + verdict.uncounted}, "
        f"duplicated {verdict.duplicated + verdict.overcounted}, "
        f"indeterminate {verdict.indeterminate + verdict.recovered}, "
        f"orphans {sum(problem.startswith('orphan') for problem in outcome.problems)}, "
        f"reported as lost {outcome.reported_lost}"
    )
    for kind, recoveries_s in outcome.recoveries_s.items():
        if recoveries_s:
            p50, p99 = np.percentile(recoveries_s, [50, 99]) * 1000
            yield f"  {kind}: {outcome.kills[kind]} kills, recovery p50 {p50:.0f} ms, p99 {p99:.0f} ms"
    yield from (f"  {violation}" for violation in found)


@click.command("kills", epilog="Example: scripts/chaos kills --kills 30 --durability fsync")
@click.option("--kills", default=1000, show_default=True, help="number of kills")
@click.option("--seed", type=int, help="seed of the order, the times and the processes")
@click.option("--durability", type=click.Choice(["memory", "aof", "fsync"]), default="aof",
              show_default=True, help="durability level of the deployment")  # fmt: skip
@click.option("--slow-disk-ms", default=0, show_default=True,
              help="delay of each fdatasync of the server; needs strace")  # fmt: skip
def command(kills: int, seed: int | None, durability: Durability, slow_disk_ms: int) -> None:
    """Kill all kinds of processes of `up` under load.

    Counts lost and duplicated readings and orphaned processes; kills `up` itself, too.
    """
    seed = random.SystemRandom().randrange(1 << 16) if seed is None else seed
    options = Options(kills, seed, durability, slow_disk_ms)
    with tempfile.TemporaryDirectory(prefix="tributary-kills-") as folder:
        outcome = storm(Path(folder), options)
    for line in lines(options, outcome):
        click.echo(line)
    sys.exit(1 if violations(options, outcome) else 0)
