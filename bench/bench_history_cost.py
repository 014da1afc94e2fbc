"""What the history costs the others: POST, the fold and `/collect` with it on and off.

Both are measured in every round, in alternating order. The processes around the one under
measurement are those of a deployment: Redis, an aggregator and the jobs process, which has the
history on or off.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import redis

from bench import compare_options, launch, machine, redis_server, report, rounds
from bench.peers.tributary_peer import TRIBUTARY, Tributary, create_token
from bench.rounds import Comparison, Plan
from bench.workers import aggregator_worker
from bench.workers.scenario import Result, Scenario, prepare
from tributary.operate import job_processes
from tributary.settings import PREFIX, Settings

TARGET = 0.97
_CASES = {"ingest": ("single",), "api": ("collect", "collect fleet")}
_DEVICES = 5_000
_SIMULATED_PER_S = 500  # readings that arrive while /collect is measured
_FULL = Plan(rounds=5, seconds=15, warmup_s=1, connections=(32,))  # longer than a period of archive
_SCENARIO = Scenario("hot", 10, 4_000_000, 16, 1_000)
_SHORT_READINGS = 8_000


class Deployed(Tributary):
    """A role among the others of a deployment, with the history on or off."""

    def __init__(self, role: str, history: str) -> None:
        devices = _DEVICES if role == "api" else 0
        super().__init__(role, is_bounded=True, rewrites=True, devices=devices)
        self.name = f"history {history}"
        self._history = history
        self._folder = Path()

    def start(self, folder: Path) -> None:
        """Start Redis and the role, and then the others on the load core."""
        self._folder = folder
        super().start(folder)
        self._run(folder, "aggregator")
        self._stack.enter_context(_jobs(self._environ(), folder))
        if self._role == "api":
            port = launch.free_port()
            self._run(folder, "ingest", "--port", str(port))
            rate = ("--rate", str(_SIMULATED_PER_S), "--seconds", "100000")
            to = ("--url", f"http://127.0.0.1:{port}")
            token = create_token(TRIBUTARY, self._environ(), "record")
            self._run(folder, "simulate", *rate, *to, "--token", token)

    def _environ(self) -> dict[str, str]:
        own = {"HISTORY": self._history, "DATA_DIR": str(self._folder)}
        return {**super()._environ(), **{PREFIX + name: value for name, value in own.items()}}

    def _run(self, folder: Path, *words: str) -> None:
        command = machine.pin(machine.LOAD_CORE, [sys.executable, "-m", "tributary", *words])
        log = folder / f"{words[0]}.log"
        self._stack.enter_context(launch.process(command, log, self._environ()))


@contextlib.contextmanager
def _jobs(environ: dict[str, str], folder: Path) -> Iterator[None]:
    """Run a jobs process until it is ready, and longer."""
    log = folder / "jobs.log"
    command = [sys.executable, "-m", "tributary", "jobs"]
    settings = Settings(redis_url=environ[f"{PREFIX}REDIS_URL"])
    with launch.process(command, log, environ) as process:
        launch.wait_until_ready(lambda: bool(job_processes.alive(settings)), process, log)
        yield


@click.command("history-cost", epilog="Example: scripts/bench history-cost --rounds 3")
@compare_options.shared
@click.option(
    "--readings",
    default=_SCENARIO.readings,
    show_default=True,
    type=click.IntRange(1),
    help="readings to fold",
)
def command(*, short: bool, to: Path | None, readings: int, **options: Any) -> None:
    """POST, the fold and /collect with the history on, compared with off.

    The exit status is 1 if a reading is lost.
    """
    warning = machine.load_warning()
    given = compare_options.plan(short=short, **options)
    chosen = {name: value for name, value in options.items() if value is not None}
    plan = given if short else _FULL._replace(**_renamed(chosen))
    comparisons = [
        Comparison(f"{case}: history on vs off", case, "history off", TARGET)
        for cases in _CASES.values()
        for case in cases
    ]
    found: list[rounds.Sample] = []
    for role, cases in _CASES.items():
        peers = [Deployed(role, history) for history in ("on", "off")]
        with compare_options.progress(plan.steps(peers, cases)) as step:
            outcome = rounds.run(peers, cases, plan, step)
        found += outcome.samples
    verdicts = rounds.compare(found, comparisons, "history on")
    click.echo(report.verdicts(verdicts) + report.rates(found, {}))
    folded = _folds(_SHORT_READINGS if short else readings, plan.rounds)
    click.echo(_fold_text(folded))
    click.echo(f"machine {machine.description()}")
    for note in warning:
        click.echo(note)
    if to is not None:
        report.write(
            to, "history-cost", report.verdicts(verdicts), {"samples": found, "fold": folded}
        )


def _renamed(options: dict[str, Any]) -> dict[str, Any]:
    names = {"warmup": "warmup_s"}
    return {names.get(name, name): value for name, value in options.items()}


def _folds(readings: int, count: int) -> dict[str, list[Result]]:
    """Results of the fold by setting of the history."""
    scenario = _SCENARIO.cut(readings)
    found: dict[str, list[Result]] = {"on": [], "off": []}
    with redis_server.start_embedded() as (url, client):
        prepare(client, scenario)
        for number in range(count):
            for history in ("on", "off") if number % 2 else ("off", "on"):
                found[history].append(_fold(url, client, scenario, history))
    return found


def _fold(url: str, client: redis.Redis, scenario: Scenario, history: str) -> Result:
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        own = {"REDIS_URL": url, "HISTORY": history, "DATA_DIR": folder, "LOG_LEVEL": "WARNING"}
        environ = {PREFIX + name: value for name, value in own.items()}
        with _jobs(environ, Path(folder)):
            return aggregator_worker.run(url, client, scenario)


def _fold_text(found: dict[str, list[Result]]) -> str:
    ratios = [on.rate / off.rate for on, off in zip(found["on"], found["off"], strict=True)]
    costs = [
        off.worker_us / on.worker_us for on, off in zip(found["on"], found["off"], strict=True)
    ]
    lines = ["", "| fold | readings/s | worker µs | Redis µs |", "|---|---|---|---|"]
    for history, results in found.items():
        rate, redis_us, worker_us, _ = (
            statistics.median(column) for column in zip(*results, strict=True)
        )
        lines.append(f"| history {history} | {rate:,.0f} | {worker_us:.2f} | {redis_us:.2f} |")
    lines.append(
        f"\nfold: history on vs off {statistics.median(ratios):.3f} ({min(ratios):.3f} to "
        f"{max(ratios):.3f}), per CPU second {statistics.median(costs):.3f}; target {TARGET}"
    )
    return "\n".join(lines)
