"""`scripts/chaos failover`: a table of what an automatic failover loses."""

from __future__ import annotations

import json
import random
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.progress import track

from faults.failover_load import LEVELS, Level
from faults.failovers import Options, Outcome, run_failover

_HEADER = (
    f"{'durability':<11}{'replica':<18}{'rounds':>7}{'acknowledged':>14}{'lost':>8}"
    f"{'reported':>10}{'duplicated':>12}{'503 while lagging':>19}{'promoted ms':>13}{'accepted ms':>13}"
)


class Row(NamedTuple):
    """The rounds of one level with a healthy or a lagging replica."""

    level: Level
    lag_ms: int  # 0: healthy
    outcomes: list[Outcome]

    def total(self, name: str) -> int:
        """The sum of a figure over the rounds."""
        return sum(int(getattr(outcome, name)) for outcome in self.outcomes)

    def median(self, name: str) -> int:
        """The median of a figure over the rounds."""
        return round(statistics.median(int(getattr(outcome, name)) for outcome in self.outcomes))

    @property
    def violations(self) -> list[str]:
        """The violations of all rounds."""
        return [violation for outcome in self.outcomes for violation in outcome.violations]


def line(row: Row) -> str:
    """A row as text: sums of readings, medians of times."""
    replica = f"lags by {row.lag_ms} ms" if row.lag_ms else "healthy"
    return (
        f"{row.level:<11}{replica:<18}{len(row.outcomes):>7}{row.total('acknowledged'):>14}"
        f"{row.total('lost'):>8}{row.total('reported_lost'):>10}{row.total('duplicated'):>12}"
        f"{row.total('responses_503'):>19}{row.median('promoted_ms'):>13}"
        f"{row.median('accepted_ms'):>13}"
    )


def document(row: Row, seed: int) -> dict[str, Any]:
    """A row for `--json`, with each round."""
    rounds = [outcome._asdict() for outcome in row.outcomes]
    return {"durability": row.level, "lag_ms": row.lag_ms, "seed": seed, "rounds": rounds}


def _rows(plan: list[tuple[Level, int]], rounds: int, seed: int) -> Iterator[Row]:
    rows = [Row(level, lag_ms, []) for level, lag_ms in plan]
    # Levels alternate, so that a slow minute of the machine affects all of them.
    steps = [(row, number) for number in range(rounds) for row in rows]
    for row, number in track(steps, description=f"failing over, seed {seed}", transient=True):
        with tempfile.TemporaryDirectory(prefix="tributary-failover-") as folder:
            row.outcomes.append(
                run_failover(Path(folder), Options(row.level, row.lag_ms, seed=seed + number))
            )
    yield from rows


@click.command("failover", epilog="Example: scripts/chaos failover --durability aof --rounds 1")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1),
              help="failovers of each level and replica, each in a new cluster")  # fmt: skip
@click.option(
    "--seed", type=int, help="seed of the killed master, the time of the kill, and the load"
)
@click.option("--durability", "levels", multiple=True, type=click.Choice(LEVELS),
              help="durability level; may be repeated; default: all")  # fmt: skip
@click.option("--replica", "replicas", multiple=True, type=click.Choice(["healthy", "lagging"]),
              help="replica of the killed master; may be repeated; default: both")  # fmt: skip
@click.option("--lag-ms", default=1000, show_default=True, type=click.IntRange(1),
              help="how long the link of a lagging replica is down before the kill")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="one JSON document per line, with each round")
def command(  # noqa: PLR0913 - one per option
    rounds: int,
    seed: int | None,
    levels: tuple[Level, ...],
    replicas: tuple[str, ...],
    lag_ms: int,
    *,
    as_json: bool,
) -> None:
    """Kill a master of a Redis Cluster under load.

    Counts the readings that the promoted replica lacks. Starts 3 masters and 3 replicas with Debian's redis-server, ingest and aggregators on this
    machine. The exit status is 1 if a reading is counted twice, or lost at `replicated`.
    """
    if shutil.which("redis-server") is None:
        raise click.ClickException("redis-server not found; install Redis 7.0 or later")
    seed = random.SystemRandom().randrange(1 << 16) if seed is None else seed
    lags_ms = [lag_ms if each == "lagging" else 0 for each in replicas or ("healthy", "lagging")]
    plan = [(level, each_ms) for level in levels or LEVELS for each_ms in lags_ms]
    rows = list(_rows(plan, rounds, seed))
    if not as_json:
        click.echo(f"seed {seed}\n{_HEADER}")
    for row in rows:
        click.echo(json.dumps(document(row, seed)) if as_json else line(row))
    for row in rows:
        for violation in row.violations:
            click.echo(f"{row.level}: {violation}", err=True)
    sys.exit(1 if any(row.violations for row in rows) else 0)
