"""`scripts/chaos alerts`: kill what evaluates, logs and delivers alerts, and print the result."""

from __future__ import annotations

import contextlib
import random
import sys
import tempfile
from pathlib import Path

import click
from rich.progress import track

from faults.alert_kills import AlertStorm, Options, Outcome


def storm(folder: Path, options: Options) -> Outcome:
    """Run a storm with its data below `folder`.

    Raises:
        AssertionError: something did not recover.
    """
    with contextlib.closing(AlertStorm(folder, options)) as running:
        title = f"killing, seed {options.seed}"
        for _ in track(running.run(), title, total=options.kills, transient=True):
            pass
        return running.outcome()


def violations(outcome: Outcome) -> list[str]:
    """What was lost, doubled or invented."""
    wrong = {
        "transitions are not in the log": outcome.missing,
        "transitions are in the log without reason, or twice": outcome.unexpected,
        "partitions number their transitions wrongly, or entries have changed": outcome.misnumbered,
        "transitions never arrived": outcome.unsent,
        "webhooks have an id that is not in the log": outcome.unknown,
    }
    return [f"{count} {what}" for what, count in wrong.items() if count]


@click.command("alerts", epilog="Example: scripts/chaos alerts --kills 50")
@click.option("--kills", default=1000, show_default=True, help="number of kills")
@click.option("--seed", type=int, help="seed of the order, the times and the points")
def command(kills: int, seed: int | None) -> None:
    """Kill aggregators, the sender of webhooks, Redis and the HTTP server while alerts change."""
    seed = random.SystemRandom().randrange(1 << 16) if seed is None else seed
    with tempfile.TemporaryDirectory(prefix="tributary-alerts-") as folder:
        outcome = storm(Path(folder), Options(kills, seed))
    found = violations(outcome)
    kinds = ", ".join(f"{count} {kind}" for kind, count in outcome.kills.items())
    click.echo(
        f"{'FAILED' if found else 'ok'}: {sum(outcome.kills.values())} kills ({kinds}), seed {seed}: "
        f"{outcome.readings} readings, {outcome.transitions} transitions: {outcome.missing} missing, "
        f"{outcome.unexpected} unexpected; {outcome.to_send} to deliver: {outcome.unsent} never "
        f"arrived, {outcome.repeated} repeated with the same id; {outcome.ended} processes ended by themselves"
    )
    for violation in found:
        click.echo(f"  {violation}")
    sys.exit(1 if found else 0)
