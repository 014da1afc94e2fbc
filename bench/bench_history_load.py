"""Data sets of past years: how fast they are loaded, and until when the history has them."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import click
import redis

from bench import launch, machine
from tributary.errors import NoHistory
from tributary.history import reads
from tributary.history.database import Database
from tributary.history.slots import DAY_MS
from tributary.operate import status
from tributary.settings import Settings

DEVICE, METRICS = "past-car", ("engine_temperature", "engine_rpm")
YEAR_MS, NEXT_YEAR_MS = 1_577_836_800_000, 1_609_459_200_000  # 2020 and 2021
_POLL_S = 0.1
_TIMEOUT_S = 1_800.0


@click.command("history-load", epilog="Example: scripts/bench history-load --rows 100000")
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(1))
@click.option("--required", is_flag=True, help="history=required: unarchived entries are backlog")
@click.option("--short", is_flag=True, help="smoke test: few rows")
def command(rows: int, *, required: bool, short: bool) -> None:
    """Load a year of readings of one car, with `tributary load`, into a running deployment.

    The exit status is 1 if the history does not have every reading in the end.
    """
    rows = 2_000 if short else rows
    environ = {"TRIBUTARY_HISTORY": "required" if required else "on"}
    click.echo(f"machine  {machine.description()}")
    for note in machine.load_warning():
        click.echo(note)
    with (
        tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder,
        launch.deployment(environ=environ) as deployment,
    ):
        path = write_year(Path(folder) / "2020.csv", rows)
        began_s = time.perf_counter()
        _load(path, deployment.url, Path(folder) / "state")
        loaded_s = time.perf_counter() - began_s
        with contextlib.closing(redis.Redis.from_url(deployment.redis_url)) as client:
            while status.read(client, Settings()).pending:
                time.sleep(_POLL_S)
        applied_s = time.perf_counter() - began_s
        data_dir = str(Path(deployment.redis_url.removeprefix("unix://")).parent)
        archived = _archived(Settings(data_dir=data_dir), rows)
        archived_s = time.perf_counter() - began_s
        days = _history(deployment.url, "1d")
    click.echo(
        f"load     {rows:,} rows in {loaded_s:.1f} s: {rows / loaded_s:,.0f} rows per second"
    )
    click.echo(f"applied  {applied_s - loaded_s:.1f} s after the last row was accepted")
    click.echo(
        f"history  {archived_s - loaded_s:.1f} s after it: {archived:,} of {rows:,} readings; "
        f"{rows / archived_s:,.0f} rows per second in all"
    )
    shown = sum(slot["count"] for slot in days)
    click.echo(f"api      {len(days)} slots of a day with {shown:,} readings")
    if not archived == shown == rows:
        raise SystemExit("bench: the history does not have every reading")


def write_year(path: Path, rows: int) -> Path:
    """Write a CSV of one car with readings spread evenly over 2020."""
    rng = random.Random(2020)  # noqa: S311 - repeatable
    step_ms = (NEXT_YEAR_MS - YEAR_MS) // rows
    with path.open("w") as file:
        file.write(f"time,{','.join(METRICS)}\n")
        for number in range(rows):
            temperature, rpm = rng.gauss(90, 3), rng.uniform(700, 6_000)
            file.write(f"{YEAR_MS + number * step_ms},{temperature:.2f},{rpm:.0f}\n")
    return path


def _load(path: Path, url: str, state_dir: Path) -> None:
    command = [sys.executable, "-m", "tributary", "load", str(path), "--device", DEVICE]
    words = [*command, "--url", url, "--state-dir", str(state_dir)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: tributary load failed:\n{done.stdout}{done.stderr}")


def _archived(settings: Settings, rows: int) -> int:
    """Wait until the history has the rows; how many it has."""
    deadline_s = time.monotonic() + _TIMEOUT_S
    with contextlib.closing(_opened(settings, deadline_s)) as db:
        while True:
            counts = [_count(db, metric) for metric in METRICS]
            if min(counts) >= rows or time.monotonic() > deadline_s:
                return min(counts)
            time.sleep(_POLL_S)


def _opened(settings: Settings, deadline_s: float) -> Database:
    """The history, once the first job has created it."""
    while True:
        try:
            return Database.open(settings, migrate=False)
        except NoHistory:
            if time.monotonic() > deadline_s:
                raise
        time.sleep(_POLL_S)


def _count(db: Database, metric: str) -> int:
    _, cells = reads.read(db, DEVICE, metric, DAY_MS, YEAR_MS, NEXT_YEAR_MS)
    return int(cells["count"].sum())


def _history(url: str, slot: str) -> list[dict[str, Any]]:
    """What the API has of the year."""
    span = {"from": "2020-01-01T00:00:00Z", "to": "2021-01-01T00:00:00Z", "slot": slot}
    query = urllib.parse.urlencode(span)
    path = f"/api/v1/devices/{DEVICE}/metrics/{METRICS[0]}/history?{query}"
    with urllib.request.urlopen(url + path, timeout=60) as response:  # noqa: S310 - http
        slots: list[dict[str, Any]] = json.load(response)["slots"]
    return slots
