"""`scripts/chaos jobs`: change the master while jobs are asked for and run, and print a table."""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
from loguru import logger
from rich.progress import track

from faults.events import Options, SentinelEvent
from faults.failover_load import LEVELS, Level
from faults.job_failovers import Outcome, run

_EVENTS: tuple[SentinelEvent, ...] = ("killed", "paused")
_LEVELS: tuple[Level, ...] = ("aof", "replicated")


def lines(options: Options, outcome: Outcome) -> Iterator[str]:
    """A row for each kind of job."""
    for name, kind in outcome.kinds.items():
        yield (
            f"| {options.event} | `{options.level}` | {outcome.events} | {name} | {kind.accepted} "
            f"| {kind.lost} | {kind.wrong} | {kind.repeated} |"
        )


def violations(options: Options, outcome: Outcome) -> list[str]:
    """What must not happen; at other levels than `replicated` a failover may lose what it lost."""
    found = [f"job {job}" for job in outcome.failed]
    if outcome.duplicated_readings:
        found.append(f"{outcome.duplicated_readings} readings are counted twice")
    if options.level == "replicated":
        found += [
            f"{name}: {kind.lost} lost, {kind.wrong} wrong"
            for name, kind in outcome.kinds.items()
            if kind.lost or kind.wrong
        ]
        if outcome.lost_readings:
            found.append(f"{outcome.lost_readings} readings are lost")
    return found


@click.command("jobs", epilog="Example: scripts/chaos jobs --event killed --rounds 2")
@click.option("--event", "events", multiple=True, type=click.Choice(get_args(SentinelEvent)),
              help="what happens to the master; may be repeated; default: killed and paused")  # fmt: skip
@click.option("--durability", "levels", multiple=True, type=click.Choice(LEVELS),
              help="durability level; may be repeated; default: aof and replicated")  # fmt: skip
@click.option("--rounds", default=10, show_default=True, type=click.IntRange(1),
              help="events of each kind and level")  # fmt: skip
@click.option("--seed", type=int, help="seed of the times of the events, and of the load")
def command(
    events: tuple[SentinelEvent, ...], levels: tuple[Level, ...], rounds: int, seed: int | None
) -> None:
    """Change the master behind sentinels while jobs are asked for and run.

    Starts a master, 2 replicas and 3 sentinels with Debian's redis-server, ingest, aggregators
    and two processes of jobs. The exit status is 1 if a job gives up, a reading is counted
    twice, or at `replicated` an accepted job has no effect or a wrong one.
    """
    if shutil.which("redis-server") is None:
        raise click.ClickException("redis-server not found; install Redis 7.0 or later")
    logger.remove()
    seed = random.SystemRandom().randrange(1 << 16) if seed is None else seed
    plan = [
        Options(event, level, rounds, seed)
        for event in events or _EVENTS
        for level in levels or _LEVELS
    ]
    click.echo(f"seed {seed}")
    click.echo("| event | durability | events | kind | accepted | lost | wrong | repeated |")
    click.echo("|---|---|---|---|---|---|---|---|")
    is_violated = False
    for options in track(plan, description="changing masters", transient=True):
        with tempfile.TemporaryDirectory(prefix="tributary-jobs-") as folder:
            outcome = run(Path(folder), options)
        for line in lines(options, outcome):
            click.echo(line)
        for violation in violations(options, outcome):
            is_violated = True
            click.echo(f"FAILED: {options.event}, {options.level}: {violation}")
    sys.exit(1 if is_violated else 0)
