"""Time to forget a device with a day of readings, and a search of Redis and its files for it.

Every entry of the stream contains readings of the device and of another one, so all of them are
removed. The time is that of the command `tributary forget`, which waits for aggregator and jobs.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import redis

from bench import launch, machine, redis_server
from bench.workers.scenario import METRIC
from tributary.model.clock import utc_ms
from tributary.model.frame import Block, pack
from tributary.settings import PREFIX, Settings
from tributary.store import keys, redis_client

_CHUNK = 5_000
_OTHERS = 20
_TIMEOUT_S = 600.0


@click.command("forget", epilog="Example: scripts/bench forget --hours 24")
@click.option("--hours", default=24.0, show_default=True, help="of one reading per second")
@click.option("--binary", default="", help="server program; default: the embedded Valkey")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
def command(hours: float, binary: str, *, as_json: bool) -> None:
    """Time of `tributary forget` for a device with a day of readings."""
    name = f"gone-{secrets.token_hex(8)}"
    with (
        redis_server.start_embedded(binary) as (url, client),
        tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder,
    ):
        settings = Settings(redis_url=url, partitions=1, data_dir=folder, history="off")
        entries = _fill(client, name, int(hours * 3_600))
        redis_client.prepare(client, settings)
        before = _files_with(client, name)
        with _role("aggregator", settings), _role("jobs", settings):
            _wait_until_applied(client, entries)
            began_s = time.monotonic()
            report = _forget(settings, name)
            seconds = time.monotonic() - began_s
            slowest_ms = _mean_ms(client)
        after = _files_with(client, name)
        in_keys = [key for key in client.scan_iter() if name.encode() in (client.dump(key) or b"")]
    found = {
        "entries": entries, "seconds": round(seconds, 2), "script_mean_ms": slowest_ms,
        "files_before": before, "files_after": after, "keys_after": len(in_keys),
        "deleted": report["deleted"],
    }  # fmt: skip
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"machine  {machine.description()}")
    for warning in machine.load_warning():
        click.echo(warning)
    for what, value in found.items():
        click.echo(f"{what:16} {value}")


def _fill(client: redis.Redis, name: str, entries: int) -> int:
    """A stream of entries with a reading of the device and one of another."""
    begin_ms = utc_ms() - entries * 1_000
    pipeline = client.pipeline(transaction=False)
    for number in range(1, entries + 1):
        at_ms, value = begin_ms + number * 1_000, float(number)
        other = f"car-{number % _OTHERS}"
        blocks = [Block(device, at_ms, {METRIC: value}) for device in (name, other)]
        fields: Any = {"e": number, "n": 2 * number, "r": pack(blocks)}
        pipeline.xadd(keys.readings(0), fields)
        if len(pipeline) == _CHUNK or number == entries:
            pipeline.execute()
    client.hset(keys.meta(0), mapping={"entries": entries, "accepted": 2 * entries})
    return entries


def _role(name: str, settings: Settings) -> Any:
    log = Path(settings.data_dir) / f"{name}.log"
    words = [sys.executable, "-m", "tributary", name, *_options(settings)]
    environ = {f"{PREFIX}PARTITIONS": "1", f"{PREFIX}HISTORY": "off"}
    return launch.process(machine.pin(machine.LOAD_CORE, words), log, environ=environ)


def _options(settings: Settings) -> list[str]:
    return ["--redis-url", settings.redis_url]


def _wait_until_applied(client: redis.Redis, entries: int) -> None:
    deadline_s = time.monotonic() + _TIMEOUT_S
    while int(client.hget(keys.meta(0), "done_entries") or 0) < entries:
        if time.monotonic() > deadline_s:
            raise click.ClickException("the aggregator does not apply the readings")
        time.sleep(0.1)


def _forget(settings: Settings, name: str) -> dict[str, Any]:
    words = [sys.executable, "-m", "tributary", "forget", name, "--yes", "--json"]
    done = subprocess.run(
        [*words, *_options(settings)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise click.ClickException(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _mean_ms(client: redis.Redis) -> float:
    """Mean time of a script with source in Redis: those of the job are."""
    stats: Any = client.info("commandstats")
    return round(float(stats["cmdstat_eval"]["usec_per_call"]) / 1_000, 1)


def _files_with(client: redis.Redis, name: str) -> list[str]:
    """The files of the server that contain the name."""
    folder = Path(str(client.config_get("dir")["dir"]))
    held = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in held if name.encode() in path.read_bytes()]
