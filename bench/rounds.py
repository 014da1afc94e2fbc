"""Rounds: each measures every peer once, so that a slow minute of the machine affects all of them.

All peers run all the time, and those that are not measured are idle: so the measurements that are
compared follow each other within seconds. The result is the median over the rounds.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import statistics
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from bench import http_request, machine, redis_server, wrk
from bench.peers.peer import Peer

_SENT_PER_DEVICE = 5  # at random: 99.3 % of the devices were among them
_INTRODUCTION_MAX_S = 15


class Plan(NamedTuple):
    """How often, how long, and with how many connections to measure."""

    rounds: int
    seconds: float
    warmup_s: float
    connections: tuple[int, ...]

    def steps(self, peers: Sequence[Peer], cases: Iterable[str]) -> int:
        """The number of measurements."""
        pairs = sum(peer.request(case) is not None for peer in peers for case in cases)
        return self.rounds * pairs * len(self.connections)


class Sample(msgspec.Struct, frozen=True):
    """One measurement of one peer; `rate` is in readings (or responses) per second.

    `server_cpu` is the CPU time of the server per second. Other programs on the machine reduce the
    rate, but hardly `rate / server_cpu`. `redis` is what its Redis used, if it has one.
    """

    round: int
    peer: str
    case: str
    connections: int
    rate: float
    load: wrk.Load
    server_cpu: float
    load_busy: float | None
    redis: redis_server.Cost | None = None

    @property
    def rate_per_cpu(self) -> float:
        """Readings (or responses) per second of CPU time of the server."""
        return self.rate / (self.server_cpu or float("nan"))

    @property
    def costs(self) -> tuple[float, float, float]:
        """CPU time of server and Redis in µs, and bytes of the file, per reading (or response)."""
        server_us = 1e6 / self.rate_per_cpu if self.rate else math.nan
        redis = self.redis or redis_server.Cost(math.nan, math.nan)
        return server_us, redis.redis_us, redis.file_bytes


class Reconciliation(msgspec.Struct, frozen=True):
    """Readings acknowledged by a peer, and readings it has stored.

    wrk disconnects when its time is over: up to `unconfirmed` more readings may be stored, because
    it did not read their responses, or because they were rejected after a lost reply of Redis.
    """

    peer: str
    acknowledged: int
    stored: int
    unconfirmed: int

    @property
    def lost(self) -> int:
        """Readings acknowledged, but not stored."""
        return max(0, self.acknowledged - self.stored)

    @property
    def unexplained(self) -> int:
        """Readings stored, but never sent."""
        return max(0, self.stored - self.acknowledged - self.unconfirmed)


class Outcome(msgspec.Struct, frozen=True):
    """The result of all rounds."""

    samples: list[Sample]
    reconciliations: list[Reconciliation]
    notes: list[str]


class Comparison(msgspec.Struct, frozen=True):
    """A row of the table: Tributary compared with a peer, and the target ratio.

    `targets` are those of single numbers of connections.
    """

    title: str
    case: str
    peer: str
    target: float
    targets: dict[int, float] = {}

    def target_at(self, connections: int) -> float:
        """The target with this many connections."""
        return self.targets.get(connections, self.target)


class Verdict(msgspec.Struct, frozen=True):
    """Ratios of one comparison at one number of connections.

    `per_cpu` is the median ratio of the rates per CPU second of the servers.
    """

    comparison: Comparison
    connections: int
    median: float
    minimum: float
    maximum: float
    per_cpu: float

    @property
    def is_met(self) -> bool:
        """Whether the median reaches the target."""
        return self.median >= self.comparison.target_at(self.connections)


class CostLimit(msgspec.Struct, frozen=True):
    """The CPU time of Redis in µs that a reading of a case may cost, by connections."""

    title: str
    case: str
    redis_us: dict[int, float]


def run(
    peers: Sequence[Peer], cases: Sequence[str], plan: Plan, tick: Callable[[str], None]
) -> Outcome:
    """Measure all peers in all cases; `tick` is called before each measurement."""
    outcome = Outcome([], [], [])
    with contextlib.ExitStack() as stack:
        visits = []
        for peer in peers:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tributary-bench-"))
            stack.callback(peer.stop)
            peer.start(Path(folder))
            visits.append(_Visit(peer, plan, Path(folder), tick))
        for case in cases:
            ready = [visit for visit in visits if visit.prepare(case)]
            for number, connections in itertools.product(range(plan.rounds), plan.connections):
                first = number % max(1, len(ready))
                for visit in (*ready[first:], *ready[:first]):
                    outcome.samples.append(visit.sample(number, case, connections))
        for visit in visits:
            outcome.reconciliations.extend(visit.reconcile())
            outcome.notes.extend(visit.peer.notes())
    return outcome


def introduce(request: http_request.Request, load: Callable[[float], wrk.Load]) -> list[wrk.Load]:
    """Send until nearly every device is known to the server, as those of a fleet are.

    Not to a server that takes more than ten times as long as the fast ones. `load` sends the
    request for some seconds.
    """
    loads: list[wrk.Load] = []
    while len(loads) < _INTRODUCTION_MAX_S:
        loads.append(load(1))
        sent = sum(each.requests for each in loads)
        if not request.numbers / 10 < sent < _SENT_PER_DEVICE * request.numbers:
            break
    return loads


def compare(
    samples: Iterable[Sample], comparisons: Iterable[Comparison], subject: str
) -> list[Verdict]:
    """Compare the rates of `subject` with those of the peers, round by round."""
    found = {(s.peer, s.case, s.connections, s.round): s for s in samples}
    verdicts = []
    for comparison in comparisons:
        for connections in sorted({key[2] for key in found}):
            pairs = [
                (sample, other)
                for (peer, case, c, number), sample in found.items()
                if (peer, case, c) == (subject, comparison.case, connections)
                and (other := found.get((comparison.peer, case, c, number)))
            ]
            if pairs:
                verdicts.append(_verdict(comparison, connections, pairs))
    return verdicts


def median_rates(samples: Iterable[Sample]) -> dict[tuple[str, str, int], float]:
    """(case, peer, connections) → median rate over the rounds."""
    grouped: dict[tuple[str, str, int], list[float]] = {}
    for sample in samples:
        grouped.setdefault((sample.case, sample.peer, sample.connections), []).append(sample.rate)
    return {key: statistics.median(rates) for key, rates in grouped.items()}


def max_rate(samples: Iterable[Sample], peer: str, case: str) -> float:
    """The median rate of a peer with the best number of connections."""
    return max(rate for key, rate in median_rates(samples).items() if key[:2] == (case, peer))


def _verdict(
    comparison: Comparison, connections: int, pairs: Sequence[tuple[Sample, Sample]]
) -> Verdict:
    ratios = [_ratio(sample.rate, other.rate) for sample, other in pairs]
    per_cpu = [_ratio(sample.rate_per_cpu, other.rate_per_cpu) for sample, other in pairs]
    return Verdict(
        comparison,
        connections,
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        statistics.median(per_cpu),
    )


def _ratio(rate: float, other: float) -> float:
    """Infinite if the peer completed no request."""
    return rate / other if other else math.inf


class _Visit:
    """One peer, and the readings sent to it."""

    def __init__(self, peer: Peer, plan: Plan, folder: Path, tick: Callable[[str], None]) -> None:
        self.peer = peer
        self._plan = plan
        self._folder = folder
        self._tick = tick
        self._acknowledged = self._unconfirmed = 0

    def prepare(self, case: str) -> bool:
        """Check that the peer does the work of a case; False if it does not support it."""
        request = self.peer.request(case)
        if request is None:
            return False
        http_request.check(self.peer.url, request)
        self._acknowledged += request.readings
        if self._plan.warmup_s and request.numbers:
            most = max(self._plan.connections)
            introduce(request, lambda seconds: self._load(request, most, seconds))
        return True

    def reconcile(self) -> list[Reconciliation]:
        """Compare acknowledged with stored readings, if the peer counts them."""
        stored = self.peer.stored()
        if stored is None:
            return []
        return [Reconciliation(self.peer.name, self._acknowledged, stored, self._unconfirmed)]

    def sample(self, number: int, case: str, connections: int) -> Sample:
        """Measure a case that was prepared."""
        self._tick(f"round {number + 1}: {self.peer.name}, {case}, {connections} connections")
        request = self.peer.request(case)
        assert request is not None
        if self._plan.warmup_s:
            self._load(request, connections, self._plan.warmup_s)
        before = self.peer.redis_usage()
        load, used_s = machine.CoreUsage(machine.LOAD_CORE), machine.cpu_s(self.peer.pid)
        measured = self._load(request, connections, self._plan.seconds)
        used_s = machine.cpu_s(self.peer.pid) - used_s
        after = self.peer.redis_usage()
        readings = request.readings * (measured.requests - measured.rejected)
        if self.peer.outlasts_load:
            self.peer.stop()
            self.peer.start(Path(tempfile.mkdtemp(dir=self._folder)))
        return Sample(
            number,
            self.peer.name,
            case,
            connections,
            measured.rate * request.readings,
            measured,
            used_s / (measured.duration_us / 1e6),
            load.share(),
            redis_server.cost(before, after, readings) if before and after else None,
        )

    def _load(self, request: http_request.Request, connections: int, seconds: float) -> wrk.Load:
        url, folder = self.peer.url, self._folder
        loaded = wrk.load(url, request, folder, connections=connections, seconds=seconds)
        self._acknowledged += request.readings * (loaded.requests - loaded.rejected)
        self._unconfirmed += request.readings * (connections + loaded.errors + loaded.rejected)
        return loaded
