"""`scripts/chaos failover-events`: a table of what changes of the master cost, by their cause."""

from __future__ import annotations

import json
import math
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
from rich.progress import track

from faults.events import EVENTS, OF_CLUSTERS, Event, Options
from faults.failover_load import LEVELS, Level
from faults.master_events import Outcome, run_events

_HEADER = (
    f"{'event':<18}{'durability':<14}{'events':>7}{'acknowledged':>14}{'lost':>8}{'reported':>10}"
    f"{'duplicated':>12}{'changed ms':>19}{'unavailable ms':>19}{'followed ms':>19}"
)
_DEFAULT_LEVELS: tuple[Level, ...] = ("aof", "replicated")


def line(options: Options, outcome: Outcome) -> str:
    """The events of one kind as text; each time as p50 / p99."""
    replicas = f" {options.wait_replicas}" if options.wait_replicas > 1 else ""
    if options.min_replicas:
        replicas += f" min {options.min_replicas}"
    times = (outcome.changed_ms, outcome.unavailable_ms, outcome.followed_ms)
    return (
        f"{options.event:<18}{options.level + replicas:<14}{options.rounds:>7}"
        f"{outcome.acknowledged:>14}{outcome.lost:>8}{outcome.reported_lost:>10}"
        f"{outcome.duplicated:>12}" + "".join(f"{quantiles(each):>19}" for each in times)
    )


def quantiles(times_ms: list[int]) -> str:
    """p50 / p99, by the nearest rank."""
    ordered = sorted(times_ms)
    p50, p99 = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.99))
    return f"{p50} / {p99}"


def _outcomes(
    plan: list[Options], seed: int, keep: Path | None
) -> Iterator[tuple[Options, Outcome]]:
    for options in track(plan, description=f"changing masters, seed {seed}", transient=True):
        with tempfile.TemporaryDirectory(prefix="tributary-failover-") as temporary:
            folder = Path(temporary)
            if keep is not None:
                folder = keep / f"{options.event}-{options.level}"
                folder.mkdir(parents=True)
            yield options, run_events(folder, options)


@click.command(
    "failover-events", epilog="Example: scripts/chaos failover-events --event killed --rounds 2"
)
@click.option("--event", "events", multiple=True, type=click.Choice(EVENTS),
              help="what happens; may be repeated; default: all")  # fmt: skip
@click.option("--durability", "levels", multiple=True, type=click.Choice(LEVELS),
              help="durability level; may be repeated; default: aof and replicated")  # fmt: skip
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1),
              help="events of each kind and level")  # fmt: skip
@click.option("--wait-replicas", default=1, show_default=True, type=click.IntRange(1, 2),
              help="replicas that confirm at durability replicated")  # fmt: skip
@click.option("--min-replicas", default=0, show_default=True, type=click.IntRange(0, 2),
              help="min-replicas-to-write of the servers; not of clusters")  # fmt: skip
@click.option("--seed", type=int, help="seed of the times of the events, and of the load")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path),
              help="new folder for the ledgers, logs and files of servers; default: deleted")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="one JSON document per line, with each time")
def command(  # noqa: PLR0913 - one per option
    events: tuple[Event, ...],
    levels: tuple[Level, ...],
    rounds: int,
    wait_replicas: int,
    min_replicas: int,
    seed: int | None,
    keep: Path | None,
    *,
    as_json: bool,
) -> None:
    """Change the master under load: with Sentinel, or in a cluster, or move a slot.

    Starts a master, 2 replicas and 3 sentinels, or a cluster of 3 masters and 3 replicas (moved at
    `aof`: without replicas), with Debian's redis-server, ingest and aggregators on this machine. The exit status is 1 if a reading is
    counted twice, or lost at `replicated`.
    """
    if shutil.which("redis-server") is None:
        raise click.ClickException("redis-server not found; install Redis 7.0 or later")
    if min_replicas and not set(OF_CLUSTERS).isdisjoint(events or EVENTS):
        raise click.UsageError("--min-replicas does not apply to clusters; name other events")
    seed = random.SystemRandom().randrange(1 << 16) if seed is None else seed
    plan = [
        Options(event, level, rounds, seed, wait_replicas=wait_replicas, min_replicas=min_replicas)
        for event in events or EVENTS
        for level in levels or _DEFAULT_LEVELS
    ]
    if not as_json:
        click.echo(f"seed {seed}\n{_HEADER}")
    is_violated = False
    for options, outcome in _outcomes(plan, seed, keep):
        document = {**options._asdict(), **outcome._asdict()}
        click.echo(json.dumps(document) if as_json else line(options, outcome))
        for violation in outcome.violations:
            is_violated = True
            click.echo(f"{options.event}, {options.level}: {violation}", err=True)
    sys.exit(1 if is_violated else 0)
