"""Readings with simulated times, written through the `ingest` of a commit.

Nothing here depends on what a commit stores, or how: requests are built so that each makes one
frame per partition, with a given number of readings.
"""

from __future__ import annotations

import contextlib
import http.client
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import redis

from bench import http_request, launch, machine, redis_server
from bench.commit_tree import Tree
from bench.workers.scenario import METRIC, START_MS, Scenario
from tributary.settings import PREFIX
from tributary.store import keys

_ENTRIES_MAX = 10_000_000
_TIMEOUT_S = 600.0
_POLL_S = 0.05
_HOUR_MS = 3_600_000
_RECENT_MS = 1_700_000  # longer than every scenario
# Whole hours from the times of the scenarios until shortly before now: nothing has expired.
SHIFT_MS = (time.time_ns() // 1_000_000 - _RECENT_MS - START_MS) // _HOUR_MS * _HOUR_MS
Reading = Mapping[str, Any]


def environ(tree: Tree, url: str, **more: object) -> dict[str, str]:
    """The settings of a role of a commit, with `more` of them; the stream is not trimmed."""
    settings = {"REDIS_URL": url, "STREAM_MAX_ENTRIES": str(_ENTRIES_MAX), "LOG_LEVEL": "WARNING"}
    settings.update({name.upper(): str(value) for name, value in more.items()})
    return {**tree.environ, **{PREFIX + name: value for name, value in settings.items()}}


@contextlib.contextmanager
def role(tree: Tree, url: str, name: str, *options: str, **more: object) -> Iterator[int]:
    """Run a role of a commit on the load core; yields its process id."""
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        command = machine.pin(machine.LOAD_CORE, [*tree.program, name, *options])
        with launch.process(command, Path(folder) / "log", environ(tree, url, **more)) as running:
            yield running.pid


@contextlib.contextmanager
def ingest(tree: Tree, url: str) -> Iterator[str]:
    """Run the role ingest of a commit; yields its URL."""
    port = launch.free_port()
    address = f"http://127.0.0.1:{port}"
    with role(tree, url, "ingest", "--port", str(port)):
        deadline_s = time.monotonic() + 60
        while not http_request.is_responding(address):
            if time.monotonic() > deadline_s:
                raise SystemExit(f"bench: ingest of the {tree.name} commit did not start")
            time.sleep(_POLL_S)
        yield address


def requests(scenario: Scenario, partitions: int) -> Iterator[list[Reading]]:
    """The readings of a scenario; each request has one frame for every partition."""
    frames: list[list[list[Reading]]] = [[] for _ in range(partitions)]
    partition_of = [keys.partition_of(f"car-{n}", partitions) for n in range(scenario.series)]
    for number in range(scenario.readings):
        device, time_ms, value = scenario.reading(number)
        there = frames[partition_of[number % scenario.series]]
        if not there or len(there[-1]) == scenario.per_frame:
            there.append([])
        there[-1].append({"device": device, "recorded_at": time_ms + SHIFT_MS, METRIC: value})
    for row in zip_longest(*frames, fillvalue=()):
        yield [reading for frame in row for reading in frame]


def send(address: str, batches: Iterable[list[Reading]]) -> int:
    """Send each batch, again while the server is not able to take it; returns the readings."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    sent = 0
    for batch in batches:
        body = msgspec.json.encode(batch)
        while (status := _post(connection, body)) == HTTPStatus.SERVICE_UNAVAILABLE:
            time.sleep(_POLL_S)
        if status != HTTPStatus.OK:
            raise SystemExit(f"bench: POST /record got {status}")
        sent += len(batch)
    connection.close()
    return sent


def _post(connection: http.client.HTTPConnection, body: bytes) -> int:
    connection.request("POST", "/record", body)
    response = connection.getresponse()
    response.read()
    return response.status


def applied(client: redis.Redis) -> int:
    """Committed readings of all partitions."""
    pipeline = client.pipeline(transaction=False)
    for partition in range(redis_server.partitions(client)):
        pipeline.hget(keys.meta(partition), "applied")
    return sum(int(count or 0) for count in pipeline.execute())


def wait_applied(client: redis.Redis, readings: int) -> int:
    """Wait until at least `readings` are committed; returns their number."""
    deadline_s = time.monotonic() + _TIMEOUT_S
    while (done := applied(client)) < readings:
        if time.monotonic() > deadline_s:
            raise SystemExit(f"bench: {done} of {readings} readings after {_TIMEOUT_S:.0f} s")
        time.sleep(_POLL_S)
    return done
