"""`scripts/chaos forget`: kill processes while devices are forgotten, and print the result."""

from __future__ import annotations

import contextlib
import random
import sys
import tempfile
from pathlib import Path

import click
from rich.progress import track

from faults.forget_kills import ForgetStorm, Options, Outcome


def storm(folder: Path, options: Options) -> Outcome:
    """Run a storm with its data below `folder`.

    Raises:
        AssertionError: the service did not recover.
    """
    with contextlib.closing(ForgetStorm(folder, options)) as running:
        title = f"killing, seed {options.seed}"
        for _ in track(running.run(), title, total=options.kills, transient=True):
            pass
        return running.outcome()


@click.command("forget", epilog="Example: scripts/chaos forget --kills 20")
@click.option("--kills", default=200, show_default=True, help="number of kills")
@click.option("--seed", type=int, help="seed of the order, the times and the processes")
def command(kills: int, seed: int | None) -> None:
    """Kill aggregators, jobs and Redis under load while devices are forgotten.

    Other devices must be counted exactly, and what a device records after it was forgotten once.
    """
    seed = random.SystemRandom().randrange(1 << 16) if seed is None else seed
    with tempfile.TemporaryDirectory(prefix="tributary-forget-") as folder:
        outcome = storm(Path(folder), Options(kills, seed))
    kinds = ", ".join(f"{count} {kind}" for kind, count in outcome.kills.items())
    click.echo(
        f"{'FAILED' if outcome.violations else 'ok'}: {sum(outcome.kills.values())} kills "
        f"({kinds}), seed {seed}: acknowledged {outcome.acknowledged} readings of other devices; "
        f"forgot {outcome.forgotten} devices, of which {outcome.returned} recorded again"
    )
    for violation in outcome.violations:
        click.echo(f"  {violation}")
    sys.exit(1 if outcome.violations else 0)
