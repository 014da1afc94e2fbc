"""`POST /record` against what one would use instead, in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench import compare_options, latency, machine, memory_growth, plot, report, rounds
from bench.peers.peer import Peer
from bench.peers.tributary_peer import PlainFlask, Tributary
from bench.peers.tutorial import Tutorial
from bench.peers.victoria_metrics import VictoriaMetrics
from bench.peers.webdis import Webdis
from bench.rounds import Comparison

CASES = ("single", "array", "columns")
COMPARISONS = (
    Comparison("one reading, against webdis XADD", "single", Webdis.name, 1.5),
    Comparison("one reading, against VictoriaMetrics", "single", VictoriaMetrics.name, 1.8),
    Comparison("one reading, against Flask + gunicorn", "single", PlainFlask.name, 20),
    Comparison("one reading, against the tutorial app", "single", Tutorial.name, 20),
    Comparison("array of 1,000, against 1,000 lines", "array", VictoriaMetrics.name, 1.2),
    Comparison("columns of 1,000, against 1,000 lines", "columns", VictoriaMetrics.name, 5),
)
_LATENCY_S, _LATENCY_SHORT_S = 20.0, 1.0
_REQUESTS, _REQUESTS_SHORT = 10_000_000, 5_000


@click.command("ingest", epilog="Example: scripts/bench ingest --rounds 3 --connections 32")
@compare_options.shared
@click.option(
    "--requests", type=click.IntRange(100_000), help="to watch memory  [default: 10000000]"
)
@click.option("--timed/--untimed", default=True, show_default=True, help="times in the batches")
def command(
    *, short: bool, to: Path | None, requests: int | None, timed: bool, **given: Any
) -> None:
    """POST /record against webdis, VictoriaMetrics, Flask and a tutorial's app.

    Then the latency at half of the maximum rate, and whether memory grows. After each run what
    Redis has accepted is compared with what was answered; the exit code is 1 if anything is lost.
    """
    disturbance = machine.disturbance()
    plan = compare_options.plan(short=short, **given)
    folder = compare_options.folder(to, short=short)
    requests = requests or (_REQUESTS_SHORT if short else _REQUESTS)
    everyone: list[Peer] = [
        Tributary(timed=timed), Webdis(), VictoriaMetrics(timed=timed), PlainFlask(), Tutorial(),
    ]  # fmt: skip
    peers, skipped = compare_options.present(everyone)
    with compare_options.bar(plan.steps(peers, CASES) + 2) as bar:
        contest = rounds.run(peers, CASES, plan, bar.step)
        most = max(s.rate for s in contest.samples if (s.peer, s.case) == ("Tributary", "single"))
        bar.step("latency at half of the maximum rate")
        half = latency.measure(
            Tributary(), "single", most, _LATENCY_SHORT_S if short else _LATENCY_S
        )
        bar.step("memory")
        grown = memory_growth.measure(
            requests, tick=lambda done: bar.part(f"memory: {done:,} of {requests:,} requests", 0)
        )
    found: dict[str, Any] = {
        "conditions": report.conditions(
            plan, peers, [*disturbance, *contest.notes, *skipped, _about(timed=timed)]
        ),
        "verdicts": rounds.compare(contest.samples, COMPARISONS, Tributary.name),
        "samples": contest.samples,
        "at_half": half,
        "memory": {"verdict": grown.verdict, "growth_bytes": grown.growth_bytes, "series": grown},
        "kept": [*contest.kept, *([half.kept] if half.kept else []), grown.kept],
    }
    _write(folder, found, half, grown)
    compare_options.judge(found["kept"])


def _about(*, timed: bool) -> str:
    return (
        f"one reading: a device and a temperature; a batch: 1,000 of them, "
        f"{'each with its time' if timed else 'without times'}, of 100 devices in arrays, "
        "of one device in columns, and of as many in the lines they are compared with"
    )


def _write(
    folder: Path, found: dict[str, Any], half: latency.AtHalf, grown: memory_growth.Memory
) -> None:
    samples, conditions = found["samples"], found["conditions"]
    parts = [
        report.head("Ingest", conditions),
        report.verdicts(found["verdicts"]),
        report.rates(samples, conditions["promises"]),
        report.at_half(half),
        report.memory(grown),
        report.kept(found["kept"]),
    ]
    markdown = "\n".join(parts)
    click.echo(markdown)
    picture = plot.write(
        folder / "ingest.png",
        f"POST /record; {conditions['machine']}",
        [
            plot.rates(samples, ["single"], "One reading a request"),
            plot.rates(samples, ["array", "columns"], "1,000 readings a request, in readings"),
            plot.at_half(half),
            plot.memory(grown),
        ],
    )
    for path in [*report.write(folder, "ingest", markdown, found), picture]:
        click.echo(f"written: {path}")
