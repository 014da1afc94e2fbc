"""`scripts/chaos history`: kill what archives, the database and Redis, and print a table."""

from __future__ import annotations

import contextlib
import random
import sys
import tempfile
from pathlib import Path

import click
from rich.progress import track

from faults.history_kills import HistoryStorm, Options, Outcome

DATABASES = ("sqlite", "postgresql")


def storm(folder: Path, options: Options) -> Outcome:
    """Run a storm with its data below `folder`.

    Raises:
        AssertionError: something did not recover.
    """
    with contextlib.closing(HistoryStorm(folder, options)) as running:
        title = f"killing, seed {options.seed}"
        for _ in track(running.run(), title, total=options.kills, transient=True):
            pass
        return running.outcome()


def violations(outcome: Outcome) -> list[str]:
    """What the history has not kept."""
    found = []
    if outcome.lost:
        found.append(f"{outcome.lost} readings are not in the history")
    if outcome.twice:
        found.append(f"{outcome.twice} readings are in the history twice")
    if outcome.differing:
        found.append(f"{outcome.differing} slots differ from what was sent")
    if outcome.wrong_gaps:
        found.append(
            f"the gaps have {outcome.wrong_gaps}; trimmed were {outcome.entries_in_gaps} entries, "
            f"{outcome.in_gaps} readings"
        )
    return found


@click.command("history", epilog="Example: scripts/chaos history --kills 40")
@click.option("--kills", default=250, show_default=True, help="number of kills per database")
@click.option("--seed", type=int, help="seed of the order, the times and the points")
@click.option("--database", type=click.Choice(DATABASES), help="only this one")
def command(kills: int, seed: int | None, database: str | None) -> None:
    """Kill processes that archive, the database and Redis under load; a run per database."""
    seed = random.SystemRandom().randrange(1 << 16) if seed is None else seed
    is_clean = True
    click.echo("| database | kills | acknowledged | in gaps | slots | lost | twice | differing |")
    click.echo("|---|---|---|---|---|---|---|---|")
    for name in DATABASES if database is None else (database,):
        options = Options(name, kills, seed)
        with tempfile.TemporaryDirectory(prefix="tributary-history-") as folder:
            outcome = storm(Path(folder), options)
        kinds = ", ".join(f"{count} {kind}" for kind, count in outcome.kills.items())
        click.echo(
            f"| {name} | {sum(outcome.kills.values())} ({kinds}) | {outcome.acknowledged} | "
            f"{outcome.in_gaps} | {outcome.slots} | {outcome.lost} | {outcome.twice} | "
            f"{outcome.differing} |"
        )
        for violation in violations(outcome):
            is_clean = False
            click.echo(f"FAILED: {violation} (seed {seed})")
    sys.exit(0 if is_clean else 1)
