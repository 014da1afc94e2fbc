"""`tributary simulate`: a fleet of cars against a real server, and a check of the results."""

from __future__ import annotations

import sys
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.progress import TextColumn
from rich.table import Table
from rich.text import Text

from tributary.cli import interrupts, options, terminal
from tributary.client import Tributary
from tributary.errors import Unavailable
from tributary.simulate import fleet
from tributary.simulate.check import Verdict, check, known
from tributary.simulate.drive import Drive
from tributary.simulate.fleet import METRICS, Shape
from tributary.simulate.ledger import Ledger

_CARS_SHOWN_MAX = 8


@click.command(
    "simulate",
    context_settings={"show_default": True},
    epilog="Example: tributary simulate --devices 50 --rate 1000 --seconds 20",
)
@click.option("--devices", default=10, type=click.IntRange(1, 100_000), help="number of cars")
@click.option(
    "--rate",
    default=100.0,
    type=click.FloatRange(0, 1_000_000, min_open=True),
    help="readings per second, of all cars together",
)
@click.option("--seconds", default=30.0, type=click.FloatRange(0, min_open=True), help="duration")
@options.server
@click.option("--seed", default=1, help="selects the cars; concurrent runs need different seeds")
@click.option(
    "--timeout",
    "timeout_s",
    default=30.0,
    type=click.FloatRange(0),
    help="seconds to wait for the aggregators at the end",
)
def command(url: str, *, token: str | None, timeout_s: float, **shape: Any) -> None:
    """Simulate cars that warm up, accelerate and brake, and record their readings.

    The rate does not depend on the server. One car has a faulty sensor whose readings must be
    refused, some readings arrive late, and some requests are sent twice with the same key.
    Finally, /collect must return what was sent for every car: the newest reading and the mean
    of the ten newest.

    Exits 0 if it does, and 1 if it does not or if readings could not be delivered.
    """
    out = terminal.console()
    interrupts.catch()
    with Tributary(url, token) as client:
        try:
            is_kept = _simulate(out, client, Shape(**shape), timeout_s)
        except Unavailable as error:
            remedy = "start a server with `tributary up`, or pass its address with --url"
            click.echo(f"tributary: {error}; {remedy}", err=True)
            sys.exit(1)
    sys.exit(0 if is_kept else 1)


def _simulate(out: Console, client: Tributary, shape: Shape, timeout_s: float) -> bool:
    client.ping()
    ledger = Ledger(known(client, (fleet.name(shape, car) for car in range(shape.devices))))
    drive = Drive(client, shape, ledger)
    plan = f"{shape.devices} cars, {shape.rate:g} readings per second, for {shape.seconds:g} s"
    out.print(plan, style="bold")
    _drive(out, drive, shape)
    _show_counts(out, drive)
    with terminal.progress(out) as bar:
        task = bar.add_task("checking /collect", total=len(ledger.devices))
        verdicts = check(client, ledger, timeout_s, lambda n: bar.update(task, completed=n))
    _show_verdicts(out, verdicts, ledger)
    return (
        not drive.progress.undelivered
        and drive.progress.refused == drive.progress.garbage
        and not ledger.uncertain
        and not any(verdict.differences for verdict in verdicts)
    )


def _drive(out: Console, drive: Drive, shape: Shape) -> None:
    with terminal.progress(out, TextColumn("{task.fields[progress]}")) as bar:
        task = bar.add_task("driving", total=shape.seconds, progress=drive.progress)
        try:
            drive.run(lambda passed_s: bar.update(task, completed=passed_s))
        except KeyboardInterrupt:
            out.print("interrupted; checking what was sent so far", style="yellow")


def _show_counts(out: Console, drive: Drive) -> None:
    progress = drive.progress
    total = f"sent {progress.sent}, accepted {progress.accepted}, refused {progress.refused}"
    out.print(total, style="bold")
    again = progress.repeated - progress.recognised
    recognised = f"{progress.recognised} recognised, {again} counted again"
    rows = [
        ("broken", f"{progress.garbage} readings of the faulty sensor, which must be refused"),
        ("late", f"{progress.late} readings sent after newer ones"),
        ("repeated", f"{progress.repeated} readings sent twice with the same key, {recognised}"),
        ("behind", f"at most {progress.behind_s:.2f} s behind schedule"),
    ]
    if progress.undelivered:
        rows.append(("undelivered", f"{progress.undelivered} readings: {drive.error}"))
    if progress.unexpected is not None:
        rows.append(("refused", f"a valid reading: {progress.unexpected.message}"))
    grid = Table.grid(padding=(0, 2))
    for label, what in rows:
        grid.add_row(label, terminal.plain(what), style="dim")
    out.print(grid)


def _show_verdicts(out: Console, verdicts: list[Verdict], ledger: Ledger) -> None:
    differing = [verdict for verdict in verdicts if verdict.differences]
    agreeing = [verdict for verdict in verdicts if not verdict.differences]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption_justify="left")
    table.add_column("/collect")
    for metric in METRICS:
        table.add_column(metric, justify="right")
    table.add_column("as sent")
    table.caption = "current / average"
    for verdict in [*differing, *agreeing][:_CARS_SHOWN_MAX]:
        cells = (_numbers(verdict, metric) for metric in METRICS)
        mark = Text("NO", "bold red") if verdict.differences else Text("yes", "green")
        table.add_row(Text(verdict.device), *cells, mark)
    out.print(table)
    for verdict in differing[:_CARS_SHOWN_MAX]:
        for field, expected, found in verdict.differences:
            text = f"{verdict.device}: {field} is {found}, expected {expected}"
            out.print(text, style="red", soft_wrap=True)
    colour = "red" if differing or ledger.uncertain else "green"
    out.print(f"{len(agreeing)} of {len(ledger.devices)} cars match what was sent", style=colour)


def _numbers(verdict: Verdict, metric: str) -> Text:
    collected = verdict.collected or {}
    pair = (collected.get(f"current_{metric}"), collected.get(f"average_{metric}"))
    return Text(" / ".join("nothing" if value is None else f"{value:.1f}" for value in pair))
