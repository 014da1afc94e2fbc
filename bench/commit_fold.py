"""The fold of two commits: each drains the stream that its own `ingest` has written.

Event times are simulated, so that slots close as they would at this rate: in the wide cases each
series has a reading per second.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import redis

from bench import commit_fill, machine, redis_server
from bench.commit_figures import Figure
from bench.commit_tree import Tree
from bench.redis_server import Cost
from bench.workers.scenario import Scenario

CASES = (
    Scenario("wide, frames of 1", 20_000, 1_200_000, 1, 20_000),
    Scenario("wide, frames of 16", 20_000, 1_200_000, 16, 20_000),
    Scenario("hot", 10, 1_600_000, 16, 1_000),
)
_SHORT_READINGS = 4_000
# Readings of a partition that are applied at once, so that each is of another series if there are
# more series: the default number of entries, whatever their size.
_AT_ONCE = 1_000
_SAVED = "bench:"  # before the names of the keys that a run begins with
# Of the wide cases: the CPU time of Redis at most half, the rate at least twice.
_WIDE = {"redis_us": {"at_most": 0.5}, "rate": {"at_least": 2.0}}
_LIMITS: dict[str, dict[str, dict[str, float]]] = {
    CASES[0].name: {**_WIDE, "all_file_bytes": {"value_at_most": 450}},
    CASES[1].name: _WIDE,
    CASES[2].name: {"rate": {"at_least": 0.97}},
}
_NAMES = {
    "rate": "readings per second",
    "aggregator_us": "aggregator µs per reading",
    "redis_us": "Redis µs per reading",
    "file_bytes": "file bytes per reading",
    "all_file_bytes": "file bytes per reading with append",
}


class Fold(msgspec.Struct, frozen=True):
    """One run of an aggregator, from its first commit to its last, per reading."""

    rate: float
    aggregator_us: float
    redis_us: float
    file_bytes: float
    all_file_bytes: float


class Side:
    """A commit with its server, whose streams are filled once per case and copied for each run."""

    def __init__(self, tree: Tree, url: str, client: redis.Redis) -> None:
        self._tree = tree
        self._url = url
        self._client = client
        self._append = Cost(0, 0)
        self._readings = 0
        self._read_max_entries = _AT_ONCE

    def fill(self, scenario: Scenario) -> None:
        """Write the readings of a scenario to an empty server."""
        self._client.flushall()
        with commit_fill.ingest(self._tree, self._url) as address:
            partitions = redis_server.partitions(self._client)
            before = redis_server.usage(self._client)
            batches = commit_fill.requests(scenario, partitions)
            self._readings = commit_fill.send(address, batches)
            after = redis_server.usage(self._client)
        self._append = redis_server.cost(before, after, self._readings)
        is_wide = scenario.series > _AT_ONCE
        self._read_max_entries = _AT_ONCE // scenario.per_frame if is_wide else _AT_ONCE
        for key in self._keys("tributary:*"):
            self._client.copy(key, f"{_SAVED}{key}")

    def run(self) -> Fold:
        """Have an aggregator apply everything."""
        if stale := self._keys("tributary:*"):
            self._client.delete(*stale)
        for key in self._keys(f"{_SAVED}*"):
            self._client.copy(key, key.removeprefix(_SAVED))
        reads = {"read_max_entries": self._read_max_entries}
        with commit_fill.role(self._tree, self._url, "aggregator", **reads) as pid:
            first = commit_fill.wait_applied(self._client, 1)
            before, began_s = redis_server.usage(self._client), time.perf_counter()
            used_s = machine.cpu_s(pid)
            last = commit_fill.wait_applied(self._client, self._readings)
            took_s = time.perf_counter() - began_s
            after, used_s = redis_server.usage(self._client), machine.cpu_s(pid) - used_s
        if last != self._readings:
            raise SystemExit(f"bench: {self._tree.name} applied {last} of {self._readings}")
        done = max(1, last - first)
        cost = redis_server.cost(before, after, done)
        total_bytes = cost.file_bytes + self._append.file_bytes
        aggregator_us = used_s / done * 1e6
        return Fold(done / took_s, aggregator_us, cost.redis_us, cost.file_bytes, total_bytes)

    def _keys(self, pattern: str) -> list[str]:
        found: list[Any] = self._client.keys(pattern)
        return [key.decode() for key in found]


def cases(readings: int | None, *, short: bool) -> list[Scenario]:
    """All cases, with at most this many readings; the short run is of the first."""
    if short:
        return [CASES[0].cut(readings or _SHORT_READINGS)]
    return [case.cut(readings or case.readings) for case in CASES]


def measure(
    trees: Sequence[Tree], scenarios: Sequence[Scenario], rounds: int, tick: Callable[[str], None]
) -> list[Figure]:
    """Run every case `rounds` times on both commits alternately."""
    figures: list[Figure] = []
    with _sides(trees) as sides:
        for case in scenarios:
            for name, side in sides.items():
                tick(f"fold: {case.name}: writing the readings of {name}")
                side.fill(case)
            runs: dict[str, list[Fold]] = {name: [] for name in sides}
            for number in range(rounds):
                for name in sorted(sides, reverse=bool(number % 2)):
                    tick(f"fold: {case.name}, round {number + 1}: {name}")
                    runs[name].append(sides[name].run())
            figures += _figures(case, runs)
    return figures


def _figures(case: Scenario, runs: dict[str, list[Fold]]) -> list[Figure]:
    limits = _LIMITS[case.name]
    return [
        Figure(
            case.name,
            title,
            [getattr(run, field) for run in runs["old"]],
            [getattr(run, field) for run in runs["new"]],
            **limits.get(field, {}),
        )
        for field, title in _NAMES.items()
    ]


@contextlib.contextmanager
def _sides(trees: Sequence[Tree]) -> Iterator[dict[str, Side]]:
    """A server for each commit; one is idle while the other is measured."""
    with contextlib.ExitStack() as stack:
        found = {}
        for tree in trees:
            url, client = stack.enter_context(redis_server.start_embedded())
            found[tree.name] = Side(tree, url, client)
        yield found
