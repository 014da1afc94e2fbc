"""The readings that every worker gets: made once, laid out anew for each run."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import redis

from tributary.model.frame import Block, pack
from tributary.store import keys

PARTITIONS = 16
METRIC = "engine_temperature"
SLOT_MS = 5_000
START_MS = 1_763_800_000_000
_PIPELINED = 5_000


class Scenario(NamedTuple):
    """How many series take turns, how fast in event time, and how many readings share a frame."""

    name: str
    series: int
    readings: int
    per_frame: int
    per_second: int  # of event time, all series together

    def cut(self, readings: int) -> Scenario:
        """The same with fewer readings."""
        return self._replace(readings=min(self.readings, readings))

    @property
    def title(self) -> str:
        """What it is called in a report."""
        return f"{self.name}: {self.series:,} series in turn, {self.per_frame} to a frame"

    def reading(self, number: int) -> tuple[str, int, float]:
        """Device, event time and value of a reading."""
        time_ms = START_MS + number * 1_000 // self.per_second
        return f"car-{number % self.series}", time_ms, 90.0 + number % 7


def frames(scenario: Scenario) -> Iterator[tuple[int, int, bytes]]:
    """(partition, readings, bytes) of every frame, oldest reading first."""
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
    """Put the streams aside from which every run gets its own copy.

    Entries are numbered as `append` numbers them; they are added without it, since it is not
    what is measured.
    """
    entries, accepted = [0] * PARTITIONS, [0] * PARTITIONS
    rest = frames(scenario)
    while chunk := list(itertools.islice(rest, _PIPELINED)):
        pipeline = client.pipeline(transaction=False)
        for partition, readings, packed in chunk:
            entries[partition] += 1
            accepted[partition] += readings
            numbered: Any = {"e": entries[partition], "n": accepted[partition], "r": packed}
            pipeline.xadd(_aside(scenario, keys.readings(partition)), numbered)
        pipeline.execute()
    for partition in range(PARTITIONS):
        numbers: Any = {"entries": entries[partition], "accepted": accepted[partition]}
        client.hset(_aside(scenario, keys.meta(partition)), mapping=numbers)


def clear(client: redis.Redis) -> None:
    """Delete everything but what `prepare` has put aside."""
    for key in client.keys("[^b]*"):
        client.delete(key)


def lay_out(client: redis.Redis, scenario: Scenario) -> None:
    """What `prepare` has put aside becomes the deployment's."""
    for partition in range(PARTITIONS):
        for key in (keys.meta(partition), keys.readings(partition)):
            client.copy(_aside(scenario, key), key, replace=True)


def _aside(scenario: Scenario, key: str) -> str:
    return f"bench:{scenario.name}:{scenario.readings}:{key}"
