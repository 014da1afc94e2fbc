"""Line protocol at `/write` compared with VictoriaMetrics, in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench import compare_options, machine, plot, report, rounds
from bench.peers.peer import Peer
from bench.peers.tributary_peer import Tributary
from bench.peers.victoria_metrics import VictoriaMetrics
from bench.rounds import Comparison

CASES = ("lines", "mixed lines")
COMPARISONS = tuple(
    Comparison(f"1,000 {case} vs VictoriaMetrics", case, VictoriaMetrics.name, 0.8)
    for case in CASES
)
_CONNECTIONS = (32,)
_WORKLOAD = (
    "a body has 1,000 lines with a field and a time: lines are of one measurement and 100 devices, "
    "mixed lines of ten measurements and 100 hosts in turn"
)


@click.command("line-protocol", epilog="Example: scripts/bench line-protocol --rounds 5")
@compare_options.shared
def command(*, short: bool, to: Path | None, **plan_options: Any) -> None:
    """POST /write of 1,000 lines compared with VictoriaMetrics, each on one core.

    After each run the readings stored are compared with those acknowledged; the exit status is 1
    if any are lost.
    """
    warning = machine.load_warning()
    plan = compare_options.plan(short=short, **plan_options)
    if not short and plan_options["connections"] is None:
        plan = plan._replace(connections=_CONNECTIONS)
    folder = compare_options.folder(to, short=short)
    all_peers: list[Peer] = [Tributary(), VictoriaMetrics()]
    peers, skipped = compare_options.installed(all_peers)
    with compare_options.progress(plan.steps(peers, CASES)) as step:
        outcome = rounds.run(peers, CASES, plan, step)
    notes = [*warning, *outcome.notes, *skipped, _WORKLOAD]
    found: dict[str, Any] = {
        "conditions": report.conditions(plan, peers, notes),
        "verdicts": rounds.compare(outcome.samples, COMPARISONS, Tributary.name),
        "samples": outcome.samples,
        "reconciliations": outcome.reconciliations,
    }
    parts = [
        report.head("Line protocol", found["conditions"]),
        report.verdicts(found["verdicts"]),
        report.rates(outcome.samples, found["conditions"]["promises"]),
        report.reconciliations(outcome.reconciliations),
    ]
    markdown = "\n".join(parts)
    click.echo(markdown)
    title = f"POST /write; {found['conditions']['machine']}"
    panels = [plot.rates(outcome.samples, CASES, "Lines, 1,000 per request")]
    picture = plot.write(folder / "line-protocol.png", title, panels)
    for path in [*report.write(folder, "line-protocol", markdown, found), picture]:
        click.echo(f"written: {path}")
    compare_options.fail_on_loss(outcome.reconciliations)
