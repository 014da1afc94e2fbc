"""What alerts cost and how fast they are delivered.

Fold: one aggregator applies the same streams without rules, with 100 rules on the only metric that
never hold, and with one more that holds for every reading. Rounds alternate.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import click
import redis

from bench import machine, redis_server
from bench.workers import aggregator_worker
from bench.workers.scenario import METRIC, Result, Scenario, prepare
from tributary.settings import PREFIX

CASES = (
    Scenario("wide, frames of 1", 20_000, 600_000, 1, 20_000),
    Scenario("wide, frames of 16", 20_000, 1_200_000, 16, 20_000),
    Scenario("hot", 10, 1_600_000, 16, 1_000),
)
_RULES = 100
_SHORT_READINGS = 4_000
_QUIET = "".join(f"[{METRIC}.alerts.r{n}]\nabove = {150 + n}\n" for n in range(_RULES - 1))
# Of a fold with rules that do not hold, to one without rules.
_RATIO_MIN = 0.9
VARIANTS = {
    "no rules": f"[{METRIC}]\nunit = 'degC'\n",
    f"{_RULES} rules": f"{_QUIET}[{METRIC}.alerts.last]\nrate_above = 1000\n",
    f"{_RULES} rules, all series firing": f"{_QUIET}[{METRIC}.alerts.last]\nabove = 1\n",
}
Report = dict[str, Any]


@click.command("alerts", epilog="Example: scripts/bench alerts --rounds 3")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--readings", type=click.IntRange(1), help="at most this many per run")
@click.option("--case", "names", multiple=True, type=click.Choice([c.name for c in CASES]),
              help="only this case; may be repeated")  # fmt: skip
@click.option("--short", is_flag=True, help="smoke test: one round, few readings")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
def command(
    *, rounds: int, readings: int | None, names: tuple[str, ...], short: bool, as_json: bool
) -> None:
    """The fold with 100 rules against none."""
    rounds = 1 if short else rounds
    chosen = [case for case in CASES if not names or case.name in names]
    limit = _SHORT_READINGS if short else readings
    found: Report = {"machine": machine.description(), "rounds": rounds, "fold": []}
    with redis_server.start_embedded() as (url, client), tempfile.TemporaryDirectory() as folder:
        for case in chosen:
            cut = case.cut(limit or case.readings)
            found["fold"].append(_fold(url, client, cut, rounds, Path(folder)))
    click.echo(json.dumps(found) if as_json else _text(found))


def _fold(url: str, client: redis.Redis, case: Scenario, rounds: int, folder: Path) -> Report:
    client.flushall()
    prepare(client, case)
    runs: dict[str, list[Result]] = {name: [] for name in VARIANTS}
    for number in range(rounds):
        for name in sorted(VARIANTS, reverse=bool(number % 2)):
            file = folder / "rules.toml"
            file.write_text(VARIANTS[name])
            os.environ[f"{PREFIX}METRICS_FILE"] = str(file)
            runs[name].append(aggregator_worker.run(url, client, case))
            click.echo(f"{case.name}, {name}: {runs[name][-1].rate:,.0f} readings/s", err=True)
    del os.environ[f"{PREFIX}METRICS_FILE"]
    (base, *_) = runs.values()
    return {
        "case": case.title,
        "runs": {
            name: {
                "rate": statistics.median(result.rate for result in results),
                "ratio": statistics.median(
                    a.rate / b.rate for a, b in zip(results, base, strict=True)
                ),
                "worker_us": statistics.median(result.worker_us for result in results),
                "redis_us": statistics.median(result.redis_us for result in results),
            }
            for name, results in runs.items()
        },
    }


def _text(found: Report) -> str:
    lines = [f"machine {found['machine']}", f"rounds  {found['rounds']}"]
    for case in found["fold"]:
        lines += [
            "", f"**{case['case']}**", "",
            f"| rules | readings/s | ratio (at least {_RATIO_MIN}) | aggregator µs | Redis µs |",
            "|---|---|---|---|---|",
        ]  # fmt: skip
        lines += [
            f"| {name} | {run['rate']:,.0f} | {run['ratio']:.2f} | {run['worker_us']:.1f} "
            f"| {run['redis_us']:.2f} |"
            for name, run in case["runs"].items()
        ]
    return "\n".join(lines)
