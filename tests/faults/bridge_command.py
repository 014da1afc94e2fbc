"""`scripts/chaos mqtt`: kill what surrounds the MQTT bridge, and print a table."""

from __future__ import annotations

import contextlib
import random
import sys
import tempfile
from pathlib import Path

import click
from rich.progress import track

from faults.bridge_kills import BridgeStorm, Options, Outcome

RUNS = {
    "ids": Options(is_keyed=True),
    "no ids": Options(is_keyed=False),
    "shared, ids": Options(is_keyed=True, is_shared=True),
    "Sentinel, ids": Options(is_keyed=True, is_sentinel=True),
}


def storm(folder: Path, options: Options) -> Outcome:
    """Run a storm with its data below `folder`.

    Raises:
        AssertionError: the bridge did not recover.
    """
    with contextlib.closing(BridgeStorm(folder, options)) as running:
        title = f"killing, seed {options.seed}"
        for _ in track(running.run(), title, total=options.kills, transient=True):
            pass
        return running.outcome()


def violations(options: Options, outcome: Outcome) -> list[str]:
    """Violations of what the bridge guarantees."""
    found = []
    if outcome.lost:
        found.append(f"{outcome.lost} messages are not stored")
    if options.is_keyed and outcome.duplicates:
        found.append(f"{outcome.duplicates} readings are counted twice")
    if outcome.counted != outcome.sent - outcome.lost + outcome.duplicates:
        found.append(f"{outcome.counted} are counted, not what is stored")
    return found


@click.command("mqtt", epilog="Example: scripts/chaos mqtt --kills 40")
@click.option("--kills", default=100, show_default=True, help="number of kills per run")
@click.option("--seed", type=int, help="seed of the order, the times and the processes")
@click.option("--run", "names", multiple=True, type=click.Choice([*RUNS]),
              help="may be repeated; default: all")  # fmt: skip
def command(kills: int, seed: int | None, names: tuple[str, ...]) -> None:
    """Kill the broker, Redis and the MQTT bridges under load, or the master behind sentinels."""
    seed = random.SystemRandom().randrange(1 << 16) if seed is None else seed
    is_clean = True
    click.echo("| messages | kills | sent | sent again | counted | lost | duplicates |")
    click.echo("|---|---|---|---|---|---|---|")
    for name in names or RUNS:
        chosen = RUNS[name]._replace(kills=kills, seed=seed)
        with tempfile.TemporaryDirectory(prefix="tributary-mqtt-") as folder:
            outcome = storm(Path(folder), chosen)
        kinds = ", ".join(f"{count} {kind}" for kind, count in outcome.kills.items())
        click.echo(
            f"| {name} | {sum(outcome.kills.values())} ({kinds}) | {outcome.sent} | "
            f"{outcome.repeated} | {outcome.counted} | {outcome.lost} | {outcome.duplicates} |"
        )
        for violation in violations(chosen, outcome):
            is_clean = False
            click.echo(f"FAILED: {violation} (seed {seed})")
    sys.exit(0 if is_clean else 1)
