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
SHORT_READINGS = 4_000
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
        for key in self._keys("tributary:*"):
            self._client.copy(key, f"{_SAVED}{key}")

    def run(self) -> Fold:
        """Have an aggregator apply everything."""
        if stale := self._keys("tributary:*"):
            self._client.delete(*stale)
        for key in self._keys(f"{_SAVED}*"):
            self._client.copy(key, key.removeprefix(_SAVED))
        with commit_fill.role(self._tree, self._url, "aggregator") as pid:
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


def measure(
    trees: Sequence[Tree], rounds: int, tick: Callable[[str], None], *, short: bool = False
) -> list[Figure]:
    """Run every case `rounds` times on both commits alternately; `short`: only the first case."""
    figures: list[Figure] = []
    with _sides(trees) as sides:
        for case in CASES[:1] if short else CASES:
            scenario = case.cut(SHORT_READINGS) if short else case
            for name, side in sides.items():
                tick(f"fold: {case.name}: writing the readings of {name}")
                side.fill(scenario)
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
