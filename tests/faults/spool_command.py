"""`scripts/chaos spool`: kill client, network and server, and print what was counted."""

from __future__ import annotations

import contextlib
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
from rich.progress import track

from faults.spool_storm import KINDS, Outcome, SpoolStorm


def storm(folder: Path, rounds: int, seed: int) -> Outcome:
    """Run a storm with its data below `folder`.

    Raises:
        AssertionError: the deployment or the program did not recover.
    """
    with contextlib.closing(SpoolStorm(folder, seed)) as running:
        title = f"killing, seed {seed}"
        for _ in track(running.run(rounds), title, total=rounds * len(KINDS), transient=True):
            pass
        return running.outcome()


def lines(outcome: Outcome, seed: int) -> Iterator[str]:
    """The outcome as text: a table row, then the kills and the violations."""
    spooled, found = outcome.spooled, outcome.violations
    kills = {kind: sum(n for (k, _), n in outcome.kills.items() if k == kind) for kind in KINDS}
    yield (
        f"{'FAILED' if found else 'ok'}: "
        + ", ".join(f"{count} kills of the {kind}" for kind, count in kills.items())
        + f", seed {seed}: recorded {spooled.recorded}, counted {outcome.counted}, "
        f"retries that had been counted {spooled.duplicates}, uncertain {spooled.uncertain}, "
        f"dropped {sum(spooled.dropped.values())}, rejected {sum(spooled.rejected.values())}"
    )
    for (kind, detail), count in sorted(outcome.kills.items()):
        yield f"  {kind}: {detail} {count}"
    yield from (f"  {violation}" for violation in found)


@click.command("spool", epilog="Example: scripts/chaos spool --rounds 10 --seed 3")
@click.option("--rounds", default=10, show_default=True, help="kills of each of the three")
@click.option("--seed", type=int, help="seed of the order, the times and the processes")
def command(rounds: int, seed: int | None) -> None:
    """Kill a program with a spool, its network and the server.

    Compares what was recorded with what was counted.
    """
    seed = random.SystemRandom().randrange(1 << 16) if seed is None else seed
    with tempfile.TemporaryDirectory(prefix="tributary-spool-") as folder:
        outcome = storm(Path(folder), rounds, seed)
    for line in lines(outcome, seed):
        click.echo(line)
    sys.exit(1 if outcome.violations else 0)
