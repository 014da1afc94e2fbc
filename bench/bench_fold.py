"""One aggregator on one core, against Bytewax and a plain redis-py worker, on the same readings.

Ours persists every batch and is exact after a kill. Each round runs every worker once, in
another order; what is reported are medians, and of ratios the medians of the rounds' ratios.
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

from bench import machine
from bench.workers import aggregator_worker, bytewax_worker, embedded_valkey, plain_worker
from bench.workers.result import Result
from bench.workers.scenario import SLOT_MS, Scenario, prepare

SCENARIOS = (
    Scenario("hot", 10, 1_600_000, 16, 1_000),
    Scenario("wide", 20_000, 600_000, 1, 20_000),
)
# More aggregators help only where Redis is not the limit: many readings to a commit.
_SPREAD = Scenario("spread", 320, 1_600_000, 16, 32_000)
_SLOW_READINGS = 100_000  # for those that need minutes for more
_SLIDING_READINGS = 20_000  # Bytewax with 20,000 series takes a minute for so many
_SHORT_READINGS = 4_000
_KILLS = 5
_PAUSE_MAX_S = 0.5
Found = dict[str, Any]


@click.command("fold", epilog="Example: scripts/bench fold --rounds 5 --json > fold.json")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
@click.option("--short", is_flag=True, help="few readings, one round: only to see that it runs")
@click.option("--binary", default="", help="server to use; default: the embedded Valkey")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
def command(rounds: int, binary: str, *, short: bool, as_json: bool) -> None:
    """Readings a second of the fold, side by side, and who is exact after kill -9.

    Bytewax takes part where it is installed: .venv/bin/pip install -e '.[bench]'.
    """
    rounds = 1 if short else rounds
    scenarios = [s.cut(_SHORT_READINGS) if short else s for s in SCENARIOS]
    found: Found = {"machine": machine.described(), "rounds": rounds, "scenarios": []}
    with embedded_valkey.started(binary) as (url, client):
        info = client.info("server")
        found["server"] = info.get("valkey_version", info["redis_version"])
        for scenario in scenarios:
            found["scenarios"].append(_measured(url, client, scenario, rounds))
        spread = _SPREAD.cut(_SHORT_READINGS) if short else _SPREAD
        found["scaling"] = _scaling(url, client, spread, 1 if short else 3)
    click.echo(json.dumps(found) if as_json else _text(found))


def _measured(url: str, client: redis.Redis, scenario: Scenario, rounds: int) -> Found:
    client.flushall()
    few = scenario.cut(_SLOW_READINGS)
    for each in {scenario, few}:
        prepare(client, each)
    workers: dict[str, Callable[[], Result]] = {
        "ours": lambda: aggregator_worker.run(url, client, scenario),
        "plain": lambda: plain_worker.run(url, client, few),
    }
    if importlib.util.find_spec("bytewax"):
        fewer = scenario.cut(_SLIDING_READINGS)
        workers["bytewax"] = lambda: bytewax_worker.run(fewer)
        workers["bytewax, slots only"] = lambda: bytewax_worker.run(few, SLOT_MS)
    runs: dict[str, list[Result]] = {name: [] for name in workers}
    for number in range(rounds):
        names = list(workers)
        turn = number % len(names)
        for name in (*names[turn:], *names[:turn]):
            runs[name].append(workers[name]())
            click.echo(f"{scenario.name} {name}: {runs[name][-1].rate:,.0f} readings/s", err=True)
    return {
        "name": scenario.title,
        "readings": {"ours": scenario.readings, "others": few.readings},
        "workers": {name: _median(results) for name, results in runs.items()},
        "ratios": {name: _ratio(runs["ours"], runs[name]) for name in runs if name != "ours"},
        "kill": _kills(url, client, few, with_flow="bytewax" in workers),
    }


def _median(results: list[Result]) -> Found:
    columns = zip(*results, strict=True)
    values = dict(zip(Result._fields, map(statistics.median, columns), strict=True))
    return {**values, "rates": [round(result.rate) for result in results]}


def _ratio(one: list[Result], other: list[Result]) -> float:
    return statistics.median(a.rate / b.rate for a, b in zip(one, other, strict=True))


def _kills(url: str, client: redis.Redis, scenario: Scenario, *, with_flow: bool) -> Found:
    """Readings counted after kills, of those there were."""
    chance = random.Random(1)  # noqa: S311 the same every time
    pauses_s = [chance.uniform(0, _PAUSE_MAX_S) for _ in range(_KILLS)]
    counted = {
        "ours": aggregator_worker.killed(url, client, scenario, pauses_s),
        "plain": plain_worker.killed(url, client, scenario, pauses_s),
    }
    if with_flow:
        counted["bytewax"] = bytewax_worker.killed(scenario)
    return {"readings": scenario.readings, "kills": _KILLS, "counted": counted}


def _scaling(url: str, client: redis.Redis, scenario: Scenario, rounds: int) -> list[Found]:
    """More aggregators on the same readings."""
    client.flushall()
    prepare(client, scenario)
    rows: list[Found] = []
    for aggregators in (1, 2, 4):
        results = [aggregator_worker.run(url, client, scenario, aggregators) for _ in range(rounds)]
        row = {"aggregators": aggregators, **_median(results)}
        base = rows[0]["rate"] if rows else row["rate"]
        rows.append({**row, "efficiency": row["rate"] / base / aggregators})
    return rows


def _text(found: Found) -> str:
    lines = [
        f"machine {found['machine']}",
        f"server  {found['server']} on core {embedded_valkey.CORE}, append-only file, fsync every second",
        f"rounds  {found['rounds']}",
    ]
    for scenario in found["scenarios"]:
        lines += ["", f"**{scenario['name']}**", "", *_table(scenario)]
    lines += [
        "",
        f"**{_SPREAD.title}**",
        "",
        "| aggregators | readings/s | efficiency | Redis µs a reading |",
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


def _table(scenario: Found) -> list[str]:
    lines = [
        "| worker | readings/s | ours is faster by | its µs | Redis µs | counted after kill -9 |",
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
            off = kill["counted"][name] - kill["readings"]
            row += f" {kill['counted'][name]:,} of {kill['readings']:,} ({off:+,})"
        lines.append(f"{row} |")
    return lines
