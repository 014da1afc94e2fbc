"""`/collect` against what one would ask instead, and against itself with many devices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench import compare_options, device_counts, latency, machine, plot, report, rounds
from bench.peers.influxdb import InfluxDB
from bench.peers.peer import Peer
from bench.peers.tributary_peer import PlainFlask, Tributary
from bench.peers.webdis import Webdis
from bench.rounds import Comparison

CASES = ("collect",)
COMPARISONS = (
    Comparison("/collect, against webdis HGET", "collect", Webdis.name, 1.3),
    Comparison("/collect, against InfluxDB's mean over 15 min", "collect", InfluxDB.name, 200),
)
_FEW = 1_000
_MANY, _MANY_SHORT = 1_000_000, 20_000
_POINTS = 100_000
_LATENCY_S, _LATENCY_SHORT_S = 20.0, 1.0


@click.command("collect", epilog="Example: scripts/bench collect --rounds 3 --devices 200000")
@compare_options.shared
@click.option("--devices", type=click.IntRange(_FEW), help="many of them  [default: 1000000]")
@click.option(
    "--points", type=click.IntRange(1), default=_POINTS, show_default=True, help="in InfluxDB"
)
def command(
    *, short: bool, to: Path | None, devices: int | None, points: int, **given: Any
) -> None:
    """/collect against webdis HGET, Flask and InfluxDB's mean, and with many devices.

    The answers of the devices are written into Redis directly, as the aggregator leaves them.
    """
    disturbance = machine.disturbance()
    plan = compare_options.plan(short=short, **given)
    folder = compare_options.folder(to, short=short)
    many = devices or (_MANY_SHORT if short else _MANY)
    everyone: list[Peer] = [
        Tributary("api", devices=_FEW), Webdis(devices=_FEW), InfluxDB(points),
        PlainFlask("api", devices=_FEW),
    ]  # fmt: skip
    peers, skipped = compare_options.present(everyone)
    populated = 1 + 2 * plan.rounds * len(plan.connections)
    with compare_options.bar(plan.steps(peers, CASES) + populated + 1) as bar:
        contest = rounds.run(peers, CASES, plan, bar.step)
        found_many = device_counts.measure(_FEW, many, plan, bar.step)
        most = max(s.rate for s in contest.samples if s.peer == Tributary.name)
        bar.step("latency at half of the maximum rate")
        half = latency.measure(
            Tributary("api", devices=_FEW), "collect", most,
            _LATENCY_SHORT_S if short else _LATENCY_S,
        )  # fmt: skip
    notes = [
        *disturbance,
        *contest.notes,
        *skipped,
        f"InfluxDB holds {points:,} points of one series in 15 min",
    ]
    found = {
        "conditions": report.conditions(plan, peers, notes),
        "verdicts": rounds.compare(contest.samples, COMPARISONS, Tributary.name),
        "samples": contest.samples,
        "populations": found_many,
        "at_half": half,
    }
    _write(folder, found, found_many, half)


def _write(
    folder: Path,
    found: dict[str, Any],
    many: list[device_counts.Populations],
    half: latency.AtHalf,
) -> None:
    samples, conditions = found["samples"], found["conditions"]
    parts = [
        report.head("Collect", conditions),
        report.verdicts(found["verdicts"]),
        report.populations(many),
        report.rates(samples, conditions["promises"]),
        report.at_half(half),
    ]
    markdown = "\n".join(parts)
    click.echo(markdown)
    picture = plot.write(
        folder / "collect.png",
        f"/collect; {conditions['machine']}",
        [
            plot.rates(samples, CASES, "Answers"),
            plot.populations(many),
            plot.at_half(half),
        ],
    )
    for path in [*report.write(folder, "collect", markdown, found), picture]:
        click.echo(f"written: {path}")
