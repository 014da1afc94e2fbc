"""The capacity model of `tributary doctor --plan`, compared with runs of a whole deployment."""

from __future__ import annotations

import json
import time
from typing import Any

import click
import msgspec
import redis

from bench import capacity_fit, launch, machine, openloop, redis_server, report
from bench.bench_sustained import drain
from bench.capacity_fit import Run
from bench.http_request import NUMBER, Request
from tributary.operate import capacity
from tributary.operate.capacity import Processes, Use
from tributary.operate.capacity_costs import COSTS
from tributary.operate.capacity_load import Load

_CONNECTIONS = 64
_WARM_UP_S = 2.0
_COMPARED = ("ingest_cores", "redis_cores", "aggregator_cores", "file_bytes_per_s")
_METRICS = ("engine_temperature", "engine_rpm", "speed")


@click.command("capacity", epilog="Example: scripts/bench capacity --sizes 1000,8000 --seconds 20")
@click.option(
    "--sizes", default="1000,8000", show_default=True, help="devices, with 1 reading/s each"
)
@click.option("--metrics", default=3, show_default=True, type=click.IntRange(1, len(_METRICS)))
@click.option("--seconds", default=20.0, show_default=True, help="length of each run")
@click.option(
    "--history/--no-history",
    default=False,
    show_default=True,
    help="also fill the history, whose job reads the streams every few seconds",
)
@click.option("--calibrate", is_flag=True, help="print constants fitted to other loads")
def command(sizes: str, metrics: int, seconds: float, *, history: bool, calibrate: bool) -> None:
    """Predicted and measured use of each role at several sizes, or new constants of the model."""
    devices = _numbers(sizes)
    warning = machine.load_warning()
    environ = {"TRIBUTARY_HISTORY": "on" if history else "off"}
    with launch.deployment(environ=environ) as (url, redis_url, _):
        client = redis.Redis.from_url(redis_url)
        client.config_set("auto-aof-rewrite-percentage", 0)  # the file only grows
        partitions = redis_server.partitions(client)
        loads = (
            capacity_fit.loads(partitions)
            if calibrate
            else [Load(devices=n, rate=1, metrics=metrics, partitions=partitions) for n in devices]
        )
        runs = [_run(url, client, load, seconds) for load in loads]
        client.close()
    click.echo(f"machine  {machine.description()}")
    for line in warning:
        click.echo(line)
    if calibrate:
        click.echo(capacity_fit.constants(runs))
    click.echo(_compared(runs, (*_COMPARED, "jobs_cores") if history else _COMPARED))


def _run(url: str, client: redis.Redis, load: Load, seconds: float) -> Run:
    request, rate = _request(load), load.readings_per_s / load.batch
    warm_up_s = min(_WARM_UP_S, seconds)
    openloop.run(url, request, rate=rate, seconds=warm_up_s, connections=_CONNECTIONS)
    drain(client)
    pids = launch.role_pid("web"), launch.role_pid("aggregator"), launch.role_pid("jobs")
    before, began_s = redis_server.usage(client), time.monotonic()
    counted, used_s = _counted(client), [machine.cpu_s(pid) for pid in pids]
    result = openloop.run(url, request, rate=rate, seconds=seconds, connections=_CONNECTIONS)
    drain(client)
    took_s = time.monotonic() - began_s
    after = redis_server.usage(client)
    cores = [(machine.cpu_s(pid) - s) / took_s for pid, s in zip(pids, used_s, strict=True)]
    if result.rejected or result.errors:
        raise SystemExit(f"bench: {result.rejected} requests rejected, {result.errors} errors")
    # Per second of the time measured, which includes the start of the generator.
    reached = result.succeeded * load.batch / took_s / load.devices
    use = Use(
        ingest_cores=cores[0],
        redis_cores=(after.cpu_s - before.cpu_s) / took_s,
        aggregator_cores=cores[1],
        jobs_cores=cores[2],
        file_bytes_per_s=(after.file_bytes - before.file_bytes) / took_s,
    )
    counts = [(now - then) / took_s for now, then in zip(_counted(client), counted, strict=True)]
    return Run(msgspec.structs.replace(load, rate=reached), use, *counts)


def _request(load: Load) -> Request:
    """Devices in groups of `batch`, each group in one request."""
    values = {metric: 92.25 + n for n, metric in enumerate(_METRICS[: load.metrics])}
    device = f"car-{NUMBER.decode()}"
    readings: Any = [{"device": f"{device}-{n}", **values} for n in range(load.batch)]
    body = json.dumps(readings if load.batch > 1 else readings[0]).encode()
    return Request("POST", "/record", body, numbers=max(1, load.devices // load.batch))


def _counted(client: redis.Redis) -> list[int]:
    """Frames added to the streams, and reads of an aggregator, each of which is committed."""
    found: Any = client.info("commandstats")
    return [
        int(found.get(f"cmdstat_{command}", {}).get("calls", 0))
        for command in ("xadd", "xreadgroup")
    ]


def _compared(runs: list[Run], names: tuple[str, ...]) -> str:
    rows = []
    for run in runs:
        costs = capacity_fit.arriving(COSTS)
        flows = capacity.flows(run.load, Processes(), costs)
        predicted = capacity.use(run.load, flows, costs)
        size = (
            f"{run.load.readings_per_s:,.0f}/s, {run.load.metrics} metrics, batch {run.load.batch}"
        )
        pairs = [
            *((name, getattr(predicted, name), getattr(run.use, name)) for name in names),
            ("frames_per_s", flows.frames, run.frames_per_s),
            ("commits_per_s", flows.commits, run.commits_per_s),
        ]
        rows += [
            (size, name, f"{expected:,.3g}", f"{found:,.3g}", f"{expected / (found or 1e-9):.2f}")
            for name, expected, found in pairs
        ]
    titles = ("load", "figure", "predicted", "measured", "predicted / measured")
    return report.section("Prediction", report.table(titles, rows))


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise click.BadParameter(f"--sizes={text} is not a list of integers such as 1000,8000")
    return numbers
