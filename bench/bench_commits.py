"""One commit compared with another: HTTP, the fold, freshness and memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench import (
    bench_freshness,
    commit_figures,
    commit_fold,
    commit_memory,
    compare_options,
    launch,
    machine,
    report,
    rounds,
)
from bench.commit_figures import Figure
from bench.commit_tree import Tree, checked_out
from bench.peers.payloads import FLEET_DEVICES
from bench.peers.tributary_peer import Tributary
from bench.rounds import Comparison, Outcome, Plan

_PARTS = ("http", "fold", "freshness", "memory")
_CASES = {"ingest": ("fleet", "single", "array", "columns"), "api": ("collect fleet", "collect")}
_TARGETS = {"ingest": 0.98, "api": 0.97}
_REDIS_AT_MOST_US = {("fleet", 32): 7.0, ("fleet", 256): 2.0}
_FRESHNESS_RATE, _FRESHNESS_S = 1_000, 10.0
_FRESHNESS_AT_MOST = 1 / 0.97  # of the p99 of before


class Commit(Tributary):
    """A role of the code of a commit."""

    def __init__(self, role: str, tree: Tree) -> None:
        devices = FLEET_DEVICES if role == "api" else 0
        super().__init__(role, is_bounded=role == "ingest", devices=devices)
        self.name = tree.name
        self._tree = tree

    def _environ(self) -> dict[str, str]:
        return {**super()._environ(), **self._tree.environ}


@click.command("commits", epilog="Example: scripts/bench commits HEAD~1 --only fold --rounds 3")
@click.argument("old")
@click.argument("new", default="HEAD")
@click.option(
    "--only", "parts", multiple=True, type=click.Choice(_PARTS),
    help="part to measure; can be repeated  [default: all]",
)  # fmt: skip
@click.option(
    "--readings", type=click.IntRange(1), help="at most, of a case of the fold  [default: 1600000]"
)
@compare_options.shared
def command(old: str, new: str, *, short: bool, to: Path | None, **options: Any) -> None:
    """Compare two commits, NEW (default: HEAD) with OLD, alternately in one run.

    http: POST of a fleet of 20,000 devices, of one device and of batches, and /collect. fold: each
    aggregator drains the stream that its own ingest has written, with a series per reading (wide)
    and with ten (hot). freshness: from 200 to visible in /collect. memory: bytes per series.
    """
    warning = machine.load_warning()
    parts = options.pop("parts") or _PARTS
    sizes = _sizes(options.pop("readings"), short=short)
    plan = compare_options.plan(short=short, **options)
    found: list[rounds.Sample] = []
    with (
        checked_out("old", old) as old_tree,
        checked_out("new", new) as new_tree,
        compare_options.progress(1) as step,
    ):
        trees = (new_tree, old_tree)
        if "http" in parts:
            found = _http(trees, plan, step)
        figures = _costs(found) + _figures(
            trees, {part: sizes[part] for part in parts if part in sizes}, plan, step
        )
    verdicts = rounds.compare(found, _comparisons(old, new), "new")
    conditions = report.conditions(plan, [], warning)
    sections = [report.verdicts(verdicts), report.rates(found, {})] if found else []
    sections += [commit_figures.table(figures)] if figures else []
    lines = [f"{conditions['machine']}; {conditions['cores']}", *warning]
    text = "\n".join([*sections, *lines])
    click.echo(text)
    if to is not None:
        data = {"samples": found, "figures": figures, **conditions}
        report.write(compare_options.folder(to, short=short), "commits", f"{text}\n", data)


def _comparisons(old: str, new: str) -> list[Comparison]:
    return [
        Comparison(f"{case}: {new} vs {old}", case, "old", _TARGETS[role])
        for role, cases in _CASES.items()
        for case in cases
    ]


def _http(trees: Sequence[Tree], plan: Plan, step: Callable[..., None]) -> list[rounds.Sample]:
    found = []
    for role, cases in _CASES.items():
        peers = [Commit(role, tree) for tree in trees]
        outcome: Outcome = rounds.run(peers, cases, plan, lambda text: step(text, 0))
        compare_options.fail_on_loss(outcome.reconciliations)
        found += outcome.samples
    return found


def _costs(samples: Sequence[rounds.Sample]) -> list[Figure]:
    """What Redis used per reading in the cases of ingest."""
    found: dict[tuple[str, int], dict[str, list[rounds.Sample]]] = {}
    for sample in samples:
        if sample.case in _CASES["ingest"]:
            sides = found.setdefault((sample.case, sample.connections), {})
            sides.setdefault(sample.peer, []).append(sample)
    return [
        Figure(
            f"{case}, {connections} connections",
            f"{name} per reading",
            [each.costs[column] for each in sides["old"]],
            [each.costs[column] for each in sides["new"]],
            value_at_most=_REDIS_AT_MOST_US.get((case, connections)) if column == 1 else None,
        )
        for (case, connections), sides in found.items()
        for column, name in ((1, "Redis µs"), (2, "file bytes"))
    ]


def _sizes(readings: int | None, *, short: bool) -> dict[str, Any]:
    """The size of each part."""
    return {
        "fold": commit_fold.cases(readings, short=short),
        "freshness": (1.0, 500) if short else (_FRESHNESS_S, FLEET_DEVICES),
        "memory": commit_memory.SHORT_SERIES if short else commit_memory.SERIES,
    }


def _figures(
    trees: Sequence[Tree], sizes: dict[str, Any], plan: Plan, step: Callable[..., None]
) -> list[Figure]:
    measure = {
        "fold": lambda size: commit_fold.measure(trees, size, plan.rounds, lambda s: step(s, 0)),
        "freshness": lambda size: _freshness(trees, plan.rounds, size, step),
        "memory": lambda size: commit_memory.measure(trees, size, lambda s: step(s, 0)),
    }
    return [figure for part, size in sizes.items() for figure in measure[part](size)]


def _freshness(
    trees: Sequence[Tree], times: int, size: tuple[float, int], step: Callable[..., None]
) -> list[Figure]:
    seconds, devices = size
    found: dict[str, list[bench_freshness.Delays]] = {tree.name: [] for tree in trees}
    for number in range(times):
        for tree in trees if number % 2 == 0 else trees[::-1]:
            step(f"freshness, round {number + 1}: {tree.name}", 0)
            with launch.deployment(environ=tree.environ) as (url, *_):
                delays = bench_freshness.measure(url, _FRESHNESS_RATE, seconds, devices)
            found[tree.name].append(delays)

    def figure(fleet: str, percentile: int, at_most: float | None = None) -> Figure:
        old, new = (
            [float(np.percentile(getattr(each, fleet), percentile)) for each in found[name]]
            for name in ("old", "new")
        )
        case = f"fleet {fleet}, {_FRESHNESS_RATE:,} per second"
        return Figure(case, f"freshness p{percentile} ms", old, new, at_most=at_most)

    return [
        figure("known", 50),
        figure("known", 99, _FRESHNESS_AT_MOST),
        figure("joining", 50),
        figure("joining", 99),
    ]
