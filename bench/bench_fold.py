"""One aggregator on one core compared with Bytewax and a plain redis-py worker.

The aggregator persists every batch and is exact after a kill. Each round runs every worker once, in
a rotated order; reported are medians of the rates, and of the ratios within a round.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import statistics
from collections.abc import Callable
from typing import Any

import click
import redis

from bench import machine, redis_server
from bench.workers import aggregator_worker, bytewax_worker, plain_worker
from bench.workers.scenario import SLOT_MS, Result, Scenario, prepare

SCENARIOS = (
    Scenario("hot", 10, 1_600_000, 16, 1_000),
    Scenario("wide", 20_000, 600_000, 1, 20_000),
)
# More aggregators help only if Redis is not the bottleneck: many readings per commit.
_SPREAD = Scenario("spread", 320, 1_600_000, 16, 32_000)
_SLOW_READINGS = 100_000  # for workers that need minutes for more
_SLIDING_READINGS = 20_000  # takes Bytewax a minute with 20,000 series
_SHORT_READINGS = 4_000
_KILLS = 5
_PAUSE_MAX_S = 0.5
Report = dict[str, Any]


@click.command("fold", epilog="Example: scripts/bench fold --rounds 5 --json > fold.json")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
@click.option("--short", is_flag=True, help="smoke test: one round, few readings")
@click.option("--binary", default="", help="server program; default: the embedded Valkey")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
def command(rounds: int, binary: str, *, short: bool, as_json: bool) -> None:
    """Readings per second of the fold compared with other workers, and losses after kill -9.

    Bytewax is included if it is installed: .venv/bin/pip install -e '.[bench]'.
    """
    rounds = 1 if short else rounds
    scenarios = [s.cut(_SHORT_READINGS) if short else s for s in SCENARIOS]
    found: Report = {"machine": machine.description(), "rounds": rounds, "scenarios": []}
    with redis_server.start_embedded(binary) as (url, client):
        found["server"] = redis_server.version(client)
        for scenario in scenarios:
            found["scenarios"].append(_measure(url, client, scenario, rounds))
        spread = _SPREAD.cut(_SHORT_READINGS) if short else _SPREAD
        found["scaling"] = _scaling(url, client, spread, 1 if short else 3)
    click.echo(json.dumps(found) if as_json else _text(found))


def _measure(url: str, client: redis.Redis, scenario: Scenario, rounds: int) -> Report:
    client.flushall()
    few = scenario.cut(_SLOW_READINGS)
    for each in {scenario, few}:
        prepare(client, each)
    workers: dict[str, Callable[[], Result]] = {
        "tributary": lambda: aggregator_worker.run(url, client, scenario),
        "plain": lambda: plain_worker.run(url, client, few),
    }
    if importlib.util.find_spec("bytewax"):
        fewer = scenario.cut(_SLIDING_READINGS)
        workers["bytewax"] = lambda: bytewax_worker.run(fewer)
        workers["bytewax, slots only"] = lambda: bytewax_worker.run(few, SLOT_MS)
    runs: dict[str, list[Result]] = {name: [] for name in workers}
    for number in range(rounds):
        names = list(workers)
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            runs[name].append(workers[name]())
            click.echo(f"{scenario.name} {name}: {runs[name][-1].rate:,.0f} readings/s", err=True)
    return {
        "name": scenario.title,
        "readings": {"tributary": scenario.readings, "others": few.readings},
        "workers": {name: _median(results) for name, results in runs.items()},
        "ratios": {
            name: _ratio(runs["tributary"], runs[name]) for name in runs if name != "tributary"
        },
        "kill": _kills(url, client, few, with_flow="bytewax" in workers),
    }


def _median(results: list[Result]) -> Report:
    columns = zip(*results, strict=True)
    values = dict(zip(Result._fields, map(statistics.median, columns), strict=True))
    return {**values, "rates": [round(result.rate) for result in results]}


def _ratio(one: list[Result], other: list[Result]) -> float:
    return statistics.median(a.rate / b.rate for a, b in zip(one, other, strict=True))


def _kills(url: str, client: redis.Redis, scenario: Scenario, *, with_flow: bool) -> Report:
    """Readings counted after kills."""
    rng = random.Random(1)  # noqa: S311 repeatable
    pauses_s = [rng.uniform(0, _PAUSE_MAX_S) for _ in range(_KILLS)]
    counted = {
        "tributary": aggregator_worker.killed(url, client, scenario, pauses_s),
        "plain": plain_worker.killed(url, client, scenario, pauses_s),
    }
    if with_flow:
        counted["bytewax"] = bytewax_worker.killed(scenario)
    return {"readings": scenario.readings, "kills": _KILLS, "counted": counted}


def _scaling(url: str, client: redis.Redis, scenario: Scenario, rounds: int) -> list[Report]:
    """Rates of one, two and four aggregators."""
    client.flushall()
    prepare(client, scenario)
    rows: list[Report] = []
    for aggregators in (1, 2, 4):
        results = [aggregator_worker.run(url, client, scenario, aggregators) for _ in range(rounds)]
        row = {"aggregators": aggregators, **_median(results)}
        base = rows[0]["rate"] if rows else row["rate"]
        rows.append({**row, "efficiency": row["rate"] / base / aggregators})
    return rows


def _text(found: Report) -> str:
    lines = [
        f"machine {found['machine']}",
        f"server  {found['server']} on core {machine.SERVER_CORE}, append-only file, fsync every second",
        f"rounds  {found['rounds']}",
    ]
    for scenario in found["scenarios"]:
        lines += ["", f"**{scenario['name']}**", "", *_table(scenario)]
    lines += [
        "",
        f"**{_SPREAD.title}**",
        "",
        "| aggregators | readings/s | efficiency | Redis µs per reading |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {row['aggregators']} | {row['rate']:,.0f} | {row['efficiency']:.2f} "
        f"| {row['redis_us']:.1f} |"
        for row in found["scaling"]
    ]
    cores = os.cpu_count() or 1
    if cores <= max(row["aggregators"] for row in found["scaling"]):
        lines.append(f"\nOnly {cores} cores: the server and the aggregators share them.")
    return "\n".join(lines)


def _table(scenario: Report) -> list[str]:
    lines = [
        "| worker | readings/s | Tributary faster by | worker µs | Redis µs | counted after kill -9 |",
        "|---|---|---|---|---|---|",
    ]
    kill = scenario["kill"]
    for name, result in scenario["workers"].items():
        ratio = f"{scenario['ratios'][name]:.1f}" if name in scenario["ratios"] else ""
        costs = [
            f"{result[f'{part}_us']:.1f}" if result[f"{part}_us"] else ""
            for part in ("worker", "redis")
        ]
        row = f"| {name} | {result['rate']:,.0f} | {ratio} | {costs[0]} | {costs[1]} |"
        if name in kill["counted"]:
            difference = kill["counted"][name] - kill["readings"]
            row += f" {kill['counted'][name]:,} of {kill['readings']:,} ({difference:+,})"
        lines.append(f"{row} |")
    return lines
