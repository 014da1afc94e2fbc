"""The readings for every worker: generated once, copied into the streams for each run."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import redis

from tributary.model.frame import Block, pack
from tributary.settings import Settings
from tributary.store import keys

PARTITIONS = Settings().partitions
METRIC = "engine_temperature"
SLOT_MS = 5_000
START_MS = 1_763_800_000_000
_PIPELINED = 5_000


class Result(NamedTuple):
    """The result of one run of a worker; 0: not measured."""

    rate: float  # readings per second
    redis_us: float  # CPU time of the server per reading
    worker_us: float  # CPU time of the worker per reading
    counted: int  # readings


class Scenario(NamedTuple):
    """The number of series, their rate in event time, and the readings per frame."""

    name: str
    series: int
    readings: int
    per_frame: int
    per_second: int  # of event time, over all series

    def cut(self, readings: int) -> Scenario:
        """The same scenario with at most this many readings."""
        return self._replace(readings=min(self.readings, readings))

    @property
    def title(self) -> str:
        """The title in reports."""
        return f"{self.name}: {self.series:,} series, {self.per_frame} readings per frame"

    def reading(self, number: int) -> tuple[str, int, float]:
        """Device, event time in ms and value of a reading; the series alternate."""
        time_ms = START_MS + number * 1_000 // self.per_second
        return f"car-{number % self.series}", time_ms, 90.0 + number % 7


def frames(scenario: Scenario) -> Iterator[tuple[int, int, bytes]]:
    """(partition, readings, bytes) of every frame, oldest first."""
    partition_of = [keys.partition_of(f"car-{n}", PARTITIONS) for n in range(scenario.series)]
    open_frames: defaultdict[int, list[Block]] = defaultdict(list)
    for number in range(scenario.readings):
        device, time_ms, value = scenario.reading(number)
        partition = partition_of[number % scenario.series]
        blocks = open_frames[partition]
        blocks.append(Block(device, time_ms, {METRIC: value}))
        if len(blocks) == scenario.per_frame:
            yield partition, len(blocks), pack(blocks)
            blocks.clear()
    for partition, blocks in open_frames.items():
        if blocks:
            yield partition, len(blocks), pack(blocks)


def prepare(client: redis.Redis, scenario: Scenario) -> None:
    """Write the streams that `restore` copies for each run.

    Entries are numbered as by `append`, but added without it, because append is not measured.
    """
    entries, accepted = [0] * PARTITIONS, [0] * PARTITIONS
    rest = frames(scenario)
    while chunk := list(itertools.islice(rest, _PIPELINED)):
        pipeline = client.pipeline(transaction=False)
        for partition, readings, packed in chunk:
            entries[partition] += 1
            accepted[partition] += readings
            numbered: Any = {"e": entries[partition], "n": accepted[partition], "r": packed}
            pipeline.xadd(_prepared(scenario, keys.readings(partition)), numbered)
        pipeline.execute()
    for partition in range(PARTITIONS):
        numbers: Any = {"entries": entries[partition], "accepted": accepted[partition]}
        client.hset(_prepared(scenario, keys.meta(partition)), mapping=numbers)


def clear(client: redis.Redis) -> None:
    """Delete everything except the prepared streams."""
    for key in client.keys("[^b]*"):
        client.delete(key)


def restore(client: redis.Redis, scenario: Scenario) -> None:
    """Copy the prepared streams to the keys of the deployment."""
    for partition in range(PARTITIONS):
        for key in (keys.meta(partition), keys.readings(partition)):
            client.copy(_prepared(scenario, key), key, replace=True)


def _prepared(scenario: Scenario, key: str) -> str:
    return f"bench:{scenario.name}:{scenario.readings}:{key}"
