"""`scripts/chaos corruption`: damage the files of Redis, and count what becomes of them."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from pathlib import Path

import click
from loguru import logger
from rich.progress import track

from faults import corruption


@click.command("corruption", epilog="Example: scripts/chaos corruption --rounds 50 --seed 1")
@click.option("--rounds", default=50, show_default=True, help="number of each kind of damage")
@click.option("--seed", type=int, help="of the readings, and of the places that are damaged")
def command(rounds: int, seed: int | None) -> None:
    """Damage the append-only file and the snapshot of Redis, one place at a time.

    Prints how often the server refuses to start, nothing has changed, the last entries are
    missing, a difference is reported, and how often a value is wrong and nothing reports it.
    """
    seed = random.SystemRandom().randrange(1 << 16) if seed is None else seed
    logger.remove()
    with tempfile.TemporaryDirectory(prefix="tributary-corruption-") as folder:
        original = corruption.Original(Path(folder), seed)
        damages = corruption.counted(original, Path(folder), rounds, seed)
        total = rounds * len(corruption.DAMAGES)
        found = Counter(track(damages, f"damaging, seed {seed}", total=total, transient=True))
    click.echo(f"seed {seed}, {rounds} of each kind:\n{corruption.table(found)}")
