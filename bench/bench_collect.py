"""`/collect` compared with alternatives, and with itself with many devices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench import compare_options, device_counts, latency, machine, plot, report, rounds
from bench.peers.influxdb import InfluxDB
from bench.peers.payloads import FLEET_DEVICES
from bench.peers.peer import Peer
from bench.peers.tributary_peer import PlainFlask, Tributary
from bench.peers.webdis import Webdis
from bench.rounds import Comparison

# `collect fleet`: each request is of a random device. `collect`: all are of one device.
CASES = ("collect fleet", "collect")
COMPARISONS = (
    Comparison("fleet vs webdis HGET", "collect fleet", Webdis.name, 1.3),
    Comparison("fleet vs Flask + gunicorn", "collect fleet", PlainFlask.name, 20),
    Comparison("one device vs webdis HGET", "collect", Webdis.name, 1.3),
    Comparison("/collect vs InfluxDB mean over 15 min", "collect", InfluxDB.name, 200),
)
_FEW = 1_000
_MANY, _MANY_SHORT = 1_000_000, 20_000
_POINTS = 100_000
_LATENCY_S, _LATENCY_SHORT_S = 20.0, 1.0


@click.command("collect", epilog="Example: scripts/bench collect --rounds 3 --devices 200000")
@compare_options.shared
@click.option(
    "--devices",
    type=click.IntRange(_FEW),
    help="devices of the large deployment  [default: 1000000]",
)
@click.option(
    "--points",
    type=click.IntRange(1),
    default=_POINTS,
    show_default=True,
    help="points in InfluxDB",
)
def command(
    *, short: bool, to: Path | None, devices: int | None, points: int, **plan_options: Any
) -> None:
    """/collect compared with webdis HGET, Flask and the mean of InfluxDB, and with many devices.

    The stored responses of the devices are written to Redis directly, as an aggregator would.
    """
    warning = machine.load_warning()
    plan = compare_options.plan(short=short, **plan_options)
    folder = compare_options.folder(to, short=short)
    many = devices or (_MANY_SHORT if short else _MANY)
    all_peers: list[Peer] = [
        Tributary("api", devices=FLEET_DEVICES), Webdis(devices=FLEET_DEVICES), InfluxDB(points),
        PlainFlask("api", devices=FLEET_DEVICES),
    ]  # fmt: skip
    peers, skipped = compare_options.installed(all_peers)
    device_steps = 1 + 2 * plan.rounds * len(plan.connections)
    with compare_options.progress(plan.steps(peers, CASES) + device_steps + 1) as step:
        outcome = rounds.run(peers, CASES, plan, step)
        many_devices = device_counts.measure(_FEW, many, plan, step)
        max_rate = rounds.max_rate(outcome.samples, Tributary.name, "collect fleet")
        step("latency at half the maximum rate")
        half_load = latency.measure(
            Tributary("api", devices=FLEET_DEVICES), "collect fleet", max_rate,
            _LATENCY_SHORT_S if short else _LATENCY_S,
        )  # fmt: skip
    workload = (
        f"`collect fleet` is {FLEET_DEVICES:,} devices at random, `collect` is one of them; "
        f"InfluxDB has {points:,} points of one series in 15 min"
    )
    notes = [*warning, *outcome.notes, *skipped, workload]
    found = {
        "conditions": report.conditions(plan, peers, notes),
        "verdicts": rounds.compare(outcome.samples, COMPARISONS, Tributary.name),
        "samples": outcome.samples,
        "device_counts": many_devices,
        "half_load": half_load,
    }
    _write(folder, found, many_devices, half_load)


def _write(
    folder: Path,
    found: dict[str, Any],
    many_devices: list[device_counts.DeviceCounts],
    half_load: latency.HalfLoad,
) -> None:
    samples, conditions = found["samples"], found["conditions"]
    parts = [
        report.head("Collect", conditions),
        report.verdicts(found["verdicts"]),
        report.device_counts(many_devices),
        report.rates(samples, conditions["promises"]),
        report.half_load(half_load),
    ]
    markdown = "\n".join(parts)
    click.echo(markdown)
    picture = plot.write(
        folder / "collect.png",
        f"/collect; {conditions['machine']}",
        [
            plot.rates(samples, ["collect fleet"], f"Requests, {FLEET_DEVICES:,} devices"),
            plot.rates(samples, ["collect"], "Requests, one device"),
            plot.device_counts(many_devices),
            plot.half_load(half_load),
        ],
    )
    for path in [*report.write(folder, "collect", markdown, found), picture]:
        click.echo(f"written: {path}")
