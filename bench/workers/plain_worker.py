"""A plain redis-py worker: a consumer group, and one pipeline of counters and XACKs per batch.

A typical worker with good practices: a large COUNT, one round trip per batch, hiredis, and its own
pending entries first after a restart.
As a program it works until the streams are empty, and prints the readings and the seconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import redis

from bench import machine, redis_server
from bench.workers.scenario import PARTITIONS, SLOT_MS, Result, Scenario, clear, restore
from tributary.model.frame import unpack
from tributary.store import keys

_GROUP, _CONSUMER = "plain", "worker"
_COUNT, _SUM, _LATEST = "plain:count", "plain:sum", "plain:latest"
_READ_ENTRIES = 1_000
_CORE = 1
_POLL_S = 0.01


def work(url: str) -> tuple[int, float]:
    """Readings applied, and seconds from the first read to the last acknowledgement."""
    client = redis.Redis.from_url(url)
    streams = [keys.readings(partition) for partition in range(PARTITIONS)]
    readings, began_s = 0, time.perf_counter()
    for position in ("0", ">"):
        while batch := _read(client, dict.fromkeys(streams, position)):
            readings += _apply(client, batch)
    return readings, time.perf_counter() - began_s


def _read(client: redis.Redis, streams: dict[Any, Any]) -> list[tuple[bytes, list[Any]]]:
    reply: Any = client.xreadgroup(_GROUP, _CONSUMER, streams, _READ_ENTRIES)
    read = reply.items() if isinstance(reply, dict) else reply
    return [(stream, entries) for stream, entries in read if entries]


def _apply(client: redis.Redis, batch: list[tuple[bytes, list[Any]]]) -> int:
    readings = 0
    pipeline = client.pipeline(transaction=False)
    for stream, entries in batch:
        for id_, fields in entries:
            block: Any
            for block in unpack(fields[b"r"]):
                device, time_ms, metrics = block
                for value in metrics.values():
                    slot = f"{device}|{time_ms // SLOT_MS}"
                    pipeline.hincrby(_COUNT, slot, 1)
                    pipeline.hincrbyfloat(_SUM, slot, value)
                    pipeline.hset(_LATEST, device, value)
                readings += 1
            pipeline.xack(stream, _GROUP, id_)
    pipeline.execute()
    return readings


def run(url: str, client: redis.Redis, scenario: Scenario) -> Result:
    """Measure from the first read to the last acknowledgement."""
    _prepare(client, scenario)
    redis_s = redis_server.cpu_s(client)
    done = json.loads(subprocess.run(_command(url), stdout=subprocess.PIPE, check=True).stdout)
    redis_s = redis_server.cpu_s(client) - redis_s
    rate = done["readings"] / done["seconds"]
    return Result(rate, redis_s / scenario.readings * 1e6, 0.0, counted(client))


def killed(url: str, client: redis.Redis, scenario: Scenario, pauses_s: list[float]) -> int:
    """Kill the worker at several stages; returns the readings counted in the end."""
    _prepare(client, scenario)
    entries = sum(client.xlen(keys.readings(partition)) for partition in range(PARTITIONS))
    for kill, pause_s in enumerate(pauses_s, 1):
        process = subprocess.Popen(_command(url), stdout=subprocess.DEVNULL)
        share = entries * kill // (len(pauses_s) + 1)
        while _read_so_far(client) < share and process.poll() is None:
            time.sleep(_POLL_S)
        time.sleep(pause_s)
        process.kill()
        process.wait()
    subprocess.run(_command(url), stdout=subprocess.DEVNULL, check=True)
    return counted(client)


def counted(client: redis.Redis) -> int:
    """Readings in the slots of all series."""
    return sum(map(int, client.hvals(_COUNT)))


def _prepare(client: redis.Redis, scenario: Scenario) -> None:
    clear(client)
    restore(client, scenario)
    for partition in range(PARTITIONS):
        client.xgroup_create(keys.readings(partition), _GROUP, "0", mkstream=True)


def _read_so_far(client: redis.Redis) -> int:
    groups = [client.xinfo_groups(keys.readings(p))[0] for p in range(PARTITIONS)]
    return sum(group["entries-read"] or 0 for group in groups)


def _command(url: str) -> list[str]:
    return machine.pin(_CORE, [sys.executable, "-m", "bench.workers.plain_worker", url])


if __name__ == "__main__":
    applied, took_s = work(sys.argv[1])
    sys.stdout.write(json.dumps({"readings": applied, "seconds": took_s}))
