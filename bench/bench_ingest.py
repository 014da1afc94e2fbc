"""`POST /record` compared with alternatives, in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench import compare_options, latency, machine, memory_growth, plot, report, rounds
from bench.peers.payloads import FLEET_DEVICES
from bench.peers.peer import Peer
from bench.peers.tributary_peer import PlainFlask, Tributary
from bench.peers.tutorial import Tutorial
from bench.peers.victoria_metrics import VictoriaMetrics
from bench.peers.webdis import Webdis
from bench.rounds import Comparison, CostLimit

# `fleet`: one reading per request, each of a random device. `single`: all of one device.
CASES = ("fleet", "single", "array", "columns")
COMPARISONS = (
    Comparison("fleet vs webdis XADD", "fleet", Webdis.name, 1.3, {256: 1.4}),
    Comparison("fleet vs VictoriaMetrics", "fleet", VictoriaMetrics.name, 1.3, {256: 1.8}),
    Comparison("fleet vs Flask + gunicorn", "fleet", PlainFlask.name, 20),
    Comparison("fleet vs tutorial app", "fleet", Tutorial.name, 20),
    Comparison("one device vs webdis XADD", "single", Webdis.name, 1.5),
    Comparison("one device vs VictoriaMetrics", "single", VictoriaMetrics.name, 1.8),
    Comparison("array of 1,000 vs 1,000 lines", "array", VictoriaMetrics.name, 1.4),
    Comparison("columns of 1,000 vs 1,000 lines", "columns", VictoriaMetrics.name, 3),
)
COST_LIMITS = (CostLimit("fleet", "fleet", {32: 7.0, 256: 2.0}),)
_LATENCY_S, _LATENCY_SHORT_S = 20.0, 1.0
_REQUESTS, _REQUESTS_SHORT = 10_000_000, 5_000


@click.command("ingest", epilog="Example: scripts/bench ingest --rounds 3 --connections 32")
@compare_options.shared
@click.option(
    "--requests",
    type=click.IntRange(100_000),
    help="requests of the memory test  [default: 10000000]",
)
@click.option(
    "--timed/--untimed", default=True, show_default=True, help="batches with or without times"
)
def command(
    *, short: bool, to: Path | None, requests: int | None, timed: bool, **plan_options: Any
) -> None:
    """POST /record compared with webdis, VictoriaMetrics, Flask and a tutorial app.

    Also measures the latency at half the maximum rate, and the growth of memory. After each run the
    readings stored are compared with those acknowledged; the exit status is 1 if any are lost.
    """
    warning = machine.load_warning()
    plan = compare_options.plan(short=short, **plan_options)
    folder = compare_options.folder(to, short=short)
    requests = requests or (_REQUESTS_SHORT if short else _REQUESTS)
    all_peers: list[Peer] = [
        Tributary(timed=timed), Webdis(), VictoriaMetrics(timed=timed), PlainFlask(), Tutorial(),
    ]  # fmt: skip
    peers, skipped = compare_options.installed(all_peers)
    with compare_options.progress(plan.steps(peers, CASES) + 2) as step:
        outcome = rounds.run(peers, CASES, plan, step)
        max_rate = rounds.max_rate(outcome.samples, Tributary.name, "fleet")
        step("latency at half the maximum rate")
        seconds = _LATENCY_SHORT_S if short else _LATENCY_S
        half_load = latency.measure(Tributary(), "fleet", max_rate, seconds, introduces=not short)
        step("memory")
        growth = memory_growth.measure(
            requests, tick=lambda done: step(f"memory: {done:,} of {requests:,} requests", 0)
        )
    notes = [*warning, *outcome.notes, *skipped, _workload(timed=timed)]
    reconciliations = [*outcome.reconciliations, half_load.reconciliation, growth.reconciliation]
    found: dict[str, Any] = {
        "conditions": report.conditions(plan, peers, notes),
        "verdicts": rounds.compare(outcome.samples, COMPARISONS, Tributary.name),
        "samples": outcome.samples,
        "half_load": half_load,
        "memory": growth.document(),
        "reconciliations": [each for each in reconciliations if each],
    }
    _write(folder, found, half_load, growth)
    compare_options.fail_on_loss(found["reconciliations"])


def _workload(*, timed: bool) -> str:
    return (
        f"a reading has a device and a temperature; `fleet` is {FLEET_DEVICES:,} devices at "
        "random over all partitions, nearly all of which have sent before (not to the two slow "
        "peers), `single` is one device; a batch has 1,000 readings "
        f"{'with' if timed else 'without'} times, of 100 devices in arrays and of one device in "
        "columns; the lines it is compared with have the same devices"
    )


def _write(
    folder: Path,
    found: dict[str, Any],
    half_load: latency.HalfLoad,
    growth: memory_growth.MemoryGrowth,
) -> None:
    samples, conditions = found["samples"], found["conditions"]
    parts = [
        report.head("Ingest", conditions),
        report.verdicts(found["verdicts"]),
        report.cost_limits(samples, COST_LIMITS, Tributary.name),
        report.rates(samples, conditions["promises"]),
        report.half_load(half_load),
        report.memory(growth),
        report.reconciliations(found["reconciliations"]),
    ]
    markdown = "\n".join(parts)
    click.echo(markdown)
    picture = plot.write(
        folder / "ingest.png",
        f"POST /record; {conditions['machine']}",
        [
            plot.rates(samples, ["fleet"], f"One reading per request, {FLEET_DEVICES:,} devices"),
            plot.costs(samples, "fleet"),
            plot.rates(samples, ["single"], "One reading per request, one device"),
            plot.rates(samples, ["array", "columns"], "Readings, 1,000 per request"),
            plot.half_load(half_load),
            plot.memory(growth),
        ],
    )
    for path in [*report.write(folder, "ingest", markdown, found), picture]:
        click.echo(f"written: {path}")
