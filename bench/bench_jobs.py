"""The role jobs: what it costs while nothing is due, and what a job costs, with a fork and without.

rq's own worker forks for every job. Both kinds run the same empty job from the same Redis, with
the libraries of real jobs loaded, because a fork copies the page tables of all of them.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import redis
from rq import Queue
from rq.worker import Worker as ForkingWorker

from bench import launch, machine, redis_server
from jobs import registry, worker
from jobs.registry import Job
from tributary import log
from tributary.operate import job_queue
from tributary.settings import Settings
from tributary.store import keys

_LIBRARIES = ("numpy", "sqlalchemy", "alembic", "aggregator.account")
_CHUNK = job_queue.MAX_QUEUED // 2


@click.command("jobs", epilog="Example: scripts/bench jobs --seconds 60 --jobs 2000")
@click.option("--seconds", default=30, show_default=True, help="how long nothing is due")
@click.option("--jobs", default=1_000, show_default=True, help="jobs of each kind of worker")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
def command(seconds: int, jobs: int, *, as_json: bool) -> None:
    """Cost of the idle role, and of a job with and without a fork."""
    with redis_server.start_embedded() as (url, client):
        waiting = idle(url, client, seconds)
        kinds = {
            "in the worker": cost(client, jobs, lambda: _own(url), _add),
            "with a fork": cost(client, jobs, lambda: _forking(url), _add_plain),
        }
    if as_json:
        click.echo(json.dumps({"idle": waiting, **kinds}))
        return
    click.echo(f"machine  {machine.description()}")
    click.echo(f"idle     {waiting}")
    click.echo("| job | jobs/s | CPU ms per job | CPU ms of Redis per job |\n|---|---|---|---|")
    for kind, found in kinds.items():
        click.echo(f"| {kind} | {' | '.join(f'{value:.2f}' for value in found.values())} |")


def idle(url: str, client: redis.Redis, seconds: int) -> dict[str, float]:
    """What `tributary jobs` costs per second while nothing is due."""
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        words = [sys.executable, "-m", "tributary", "jobs", "--redis-url", url]
        log = Path(folder) / "log"
        with launch.process([*words, "--data-dir", folder], log) as running:
            launch.wait_until_ready(lambda: bool(client.exists(keys.JOBS)), running, log)
            time.sleep(5)  # the first jobs of the schedule
            before = _used(client, running.pid)
            time.sleep(seconds)
            after = _used(client, running.pid)
            memory = machine.resident_bytes(running.pid)
    spent = {name: round((after[name] - before[name]) / seconds, 4) for name in before}
    return {**spent, "resident MiB": round(memory / 1_048_576, 1)}


def cost(
    client: redis.Redis, jobs: int, run: Callable[[], None], add: Callable[[redis.Redis, int], str]
) -> dict[str, float]:
    """Run empty jobs in one worker process; seconds and CPU time per job."""
    for name in _LIBRARIES:
        importlib.import_module(name)
    with _forked(run) as (pid, usage):
        began_s, redis_s = time.monotonic(), redis_server.cpu_s(client)
        for first in range(0, jobs, _CHUNK):
            for number in range(first, min(first + _CHUNK, jobs)):
                queue = add(client, number)
            while client.llen(queue) or client.zcard(queue.replace(":queue:", ":wip:")):
                time.sleep(0.005)
        took_s, redis_s = time.monotonic() - began_s, redis_server.cpu_s(client) - redis_s
        os.kill(pid, signal.SIGTERM)
    return {
        "jobs/s": jobs / took_s,
        "CPU ms": sum(usage) * 1000 / jobs,
        "Redis CPU ms": redis_s * 1000 / jobs,
    }


def nothing(*_arguments: Any) -> None:
    """The job."""


@contextlib.contextmanager
def _forked(run: Callable[[], None]) -> Iterator[tuple[int, list[float]]]:
    """Run a function in a child; at the end the list has its CPU seconds with its children's."""
    pid = os.fork()
    if pid == 0:
        run()
        os._exit(0)
    usage: list[float] = []
    try:
        yield pid, usage
    finally:
        used = os.wait4(pid, 0)[2]
        usage += [used.ru_utime, used.ru_stime]


def _own(url: str) -> None:
    log.configure(Settings(log_level="ERROR"), "jobs")
    registry.JOBS["nothing"] = Job("nothing", nothing)
    worker.run(Settings(redis_url=url))


def _forking(url: str) -> None:
    client = redis.Redis.from_url(url)
    ForkingWorker([Queue("plain", connection=client)], connection=client).work(
        logging_level="ERROR"
    )


def _add(client: redis.Redis, number: int) -> str:
    job_queue.add(client, "nothing", (number,), f"nothing-{number}")
    return keys.QUEUED


def _add_plain(client: redis.Redis, number: int) -> str:
    queue = Queue("plain", connection=client)
    queue.enqueue("bench.bench_jobs.nothing", number, result_ttl=0)
    return str(queue.key)


def _used(client: redis.Redis, pid: int) -> dict[str, float]:
    return {
        "commands": client.info("stats")["total_commands_processed"],
        "CPU s": machine.cpu_s(pid),
        "Redis CPU s": redis_server.cpu_s(client),
    }
