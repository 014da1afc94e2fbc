"""`scripts/chaos power-loss`: what is lost of what Redis has not synced, and whether it is exact."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import click
from loguru import logger
from rich.progress import track

from faults import power_loss
from faults.rig import Unsupported


@click.command("power-loss", epilog="Example: scripts/chaos power-loss --rounds 10 --seed 1")
@click.option("--rounds", default=10, show_default=True, help="number of each kind, at each level")
@click.option("--seed", type=int, help="of what is left on disk; the rest depends on the machine")
def command(rounds: int, seed: int | None) -> None:
    """Kill Redis, and change its file as a power loss may: any page since the last sync is missing.

    Prints how many readings were acknowledged and are lost, at `always` and `everysec`. Exits 1
    if readings are lost at `always`, or what is left is not exact.
    """
    seed = random.SystemRandom().randrange(1 << 16) if seed is None else seed
    logger.remove()
    total = rounds * len(power_loss.LEVELS) * len(power_loss.LOSSES)
    with tempfile.TemporaryDirectory(prefix="tributary-power-") as folder:
        try:
            each = power_loss.outcomes(Path(folder), rounds, seed)
            found = list(track(each, f"cutting power, seed {seed}", total=total, transient=True))
        except Unsupported as error:
            raise click.ClickException(str(error)) from None
    click.echo(f"seed {seed}, {rounds} of each kind:\n{power_loss.table(found)}")
    problems = [f"{one.level}, {one.loss}: {each}" for one in found for each in one.stored.problems]
    for problem in problems:
        click.echo(problem, err=True)
    raise SystemExit(bool(problems))
