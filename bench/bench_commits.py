"""One commit compared with another: POST of a fleet, JSON batches, and `/collect`."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from bench import compare_options, launch, machine, report, rounds
from bench.peers.tributary_peer import TRIBUTARY, Tributary
from bench.rounds import Comparison, Outcome

_TARGET = 0.98
_CASES = {"ingest": ("fleet", "single", "array"), "api": ("collect", "collect any")}
_DEVICES = 5_000


class Commit(Tributary):
    """A role of the code in a directory, with the dependencies of this environment."""

    def __init__(self, role: str, name: str, tree: Path) -> None:
        super().__init__(
            role, is_bounded=role == "ingest", devices=_DEVICES if role == "api" else 0
        )
        self.name = name
        self._tree = tree
        self.program = (sys.executable, "-P", *TRIBUTARY[1:])

    def _environ(self) -> dict[str, str]:
        return {**super()._environ(), "PYTHONPATH": str(self._tree)}


@click.command("commits", epilog="Example: scripts/bench commits HEAD~1 --connections 32,256")
@click.argument("old")
@click.argument("new", default="HEAD")
@compare_options.shared
def command(old: str, new: str, *, short: bool, to: Path | None, **plan_options: Any) -> None:
    """Compare two commits, NEW (default: HEAD) with OLD.

    A fleet of 5,000 devices with one reading per request is the usual case; `single` is one device.
    """
    warning = machine.load_warning()
    plan = compare_options.plan(short=short, **plan_options)
    found: list[rounds.Sample] = []
    with _checked_out(old) as old_tree, _checked_out(new) as new_tree:
        for role, cases in _CASES.items():
            peers = [Commit(role, "new", new_tree), Commit(role, "old", old_tree)]
            with compare_options.progress(plan.steps(peers, cases)) as step:
                outcome: Outcome = rounds.run(peers, cases, plan, step)
            compare_options.fail_on_loss(outcome.reconciliations)
            found += outcome.samples
    comparisons = [
        Comparison(f"{case}: {new} vs {old}", case, "old", _TARGET)
        for cases in _CASES.values()
        for case in cases
    ]
    conditions = report.conditions(plan, [], warning)
    verdicts = rounds.compare(found, comparisons, "new")
    click.echo(report.verdicts(verdicts) + report.rates(found, {}))
    click.echo(f"{conditions['machine']}; {conditions['cores']}")
    for note in warning:
        click.echo(note)
    if to is not None:
        report.write(to, "commits", report.verdicts(verdicts), {"samples": found, **conditions})


@contextlib.contextmanager
def _checked_out(commit: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        archive = subprocess.run(
            ["git", "archive", commit], cwd=launch.ROOT, capture_output=True, check=False
        )
        if archive.returncode:
            raise click.UsageError(archive.stderr.decode().strip())
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        yield Path(folder)
