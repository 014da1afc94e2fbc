"""Rounds: every peer in turn, measured the same way, so that a slow minute hits all of them.

Peers are compared within a round, and the median over the rounds is what counts.
"""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from bench import http_request, machine, wrk
from bench.peers.peer import Peer


class Plan(NamedTuple):
    """How often, how long and with how many connections."""

    rounds: int
    seconds: float
    warmup_s: float
    connections: tuple[int, ...]

    def steps(self, peers: Sequence[Peer], cases: Iterable[str]) -> int:
        """How many measurements that makes."""
        pairs = sum(peer.request(case) is not None for peer in peers for case in cases)
        return self.rounds * pairs * len(self.connections)


class Sample(msgspec.Struct, frozen=True):
    """One measurement of one peer; `rate` in readings (or answers) a second.

    `server_cpu` is the processor time the server had, per second: on a machine that does other
    things besides, the rate suffers, and `rate / server_cpu` much less.
    """

    round: int
    peer: str
    case: str
    connections: int
    rate: float
    load: wrk.Load
    server_cpu: float
    load_busy: float | None

    @property
    def rate_per_cpu(self) -> float:
        """Readings (or answers) for a second of the server's processor time."""
        return self.rate / (self.server_cpu or float("nan"))


class Kept(msgspec.Struct, frozen=True):
    """What a peer was told it has, and what it says it has, in readings, after a round.

    wrk hangs up at the end of its time: up to `unheard` readings more may have been stored
    whose answers it did not wait for, or that were refused because Redis's reply was lost.
    """

    round: int
    peer: str
    answered: int
    stored: int
    unheard: int

    @property
    def lost(self) -> int:
        """Readings that were answered well and are not there."""
        return max(0, self.answered - self.stored)

    @property
    def surplus(self) -> int:
        """Readings that are there and that nobody can have sent."""
        return max(0, self.stored - self.answered - self.unheard)


class Outcome(msgspec.Struct, frozen=True):
    """Everything a contest has measured."""

    samples: list[Sample]
    kept: list[Kept]
    notes: list[str]


class Comparison(msgspec.Struct, frozen=True):
    """A line of the table: our case against a peer's, and the least ratio that was promised."""

    what: str
    case: str
    peer: str
    at_least: float


class Verdict(msgspec.Struct, frozen=True):
    """Ratios of one comparison at one number of connections: median, least and greatest.

    `per_cpu` is the median of the same ratios, per second of the servers' processor time.
    """

    comparison: Comparison
    connections: int
    median: float
    least: float
    most: float
    per_cpu: float

    @property
    def is_met(self) -> bool:
        """Whether the median reaches what was promised."""
        return self.median >= self.comparison.at_least


def run(
    peers: Sequence[Peer], cases: Sequence[str], plan: Plan, tick: Callable[[str], None]
) -> Outcome:
    """Measure all peers in all cases; `tick` is told before each measurement."""
    outcome = Outcome([], [], [])
    for number in range(plan.rounds):
        turn = number % len(peers)
        for peer in (*peers[turn:], *peers[:turn]):
            with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
                visit = _Visit(peer, plan, number, Path(folder), tick)
                try:
                    peer.start(Path(folder))
                    visit.measure(cases)
                    outcome.samples.extend(visit.samples)
                    outcome.kept.extend(visit.kept())
                    outcome.notes.extend(peer.notes() if number == 0 else [])
                finally:
                    peer.stop()
    return outcome


def compare(
    samples: Iterable[Sample], comparisons: Iterable[Comparison], ours: str
) -> list[Verdict]:
    """The ratio of our rate to the peer's in each round, and the median of these."""
    found = {(s.peer, s.case, s.connections, s.round): s for s in samples}
    verdicts = []
    for comparison in comparisons:
        for connections in sorted({key[2] for key in found}):
            both = [
                (sample, other)
                for (peer, case, c, number), sample in found.items()
                if (peer, case, c) == (ours, comparison.case, connections)
                and (other := found.get((comparison.peer, case, c, number)))
            ]
            if both:
                verdicts.append(_verdict(comparison, connections, both))
    return verdicts


def median_rates(samples: Iterable[Sample]) -> dict[tuple[str, str, int], float]:
    """(case, peer, connections) → median rate over the rounds."""
    grouped: dict[tuple[str, str, int], list[float]] = {}
    for sample in samples:
        grouped.setdefault((sample.case, sample.peer, sample.connections), []).append(sample.rate)
    return {key: statistics.median(rates) for key, rates in grouped.items()}


def _verdict(
    comparison: Comparison, connections: int, both: Sequence[tuple[Sample, Sample]]
) -> Verdict:
    ratios = [_ratio(ours.rate, theirs.rate) for ours, theirs in both]
    per_cpu = [_ratio(ours.rate_per_cpu, theirs.rate_per_cpu) for ours, theirs in both]
    return Verdict(
        comparison,
        connections,
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        statistics.median(per_cpu),
    )


def _ratio(ours: float, theirs: float) -> float:
    """Infinite if the peer has answered nothing at all in its time."""
    return ours / theirs if theirs else math.inf


class _Visit:
    """One peer in one round: what was measured, and how many readings went to it."""

    def __init__(
        self, peer: Peer, plan: Plan, number: int, folder: Path, tick: Callable[[str], None]
    ) -> None:
        self._peer = peer
        self._plan = plan
        self._number = number
        self._folder = folder
        self._tick = tick
        self._answered = self._unheard = 0
        self.samples: list[Sample] = []

    def measure(self, cases: Iterable[str]) -> None:
        """Every case the peer knows, with every number of connections."""
        for case in cases:
            request = self._peer.request(case)
            if request is None:
                continue
            http_request.check(self._peer.url, request)
            self._answered += request.readings
            for connections in self._plan.connections:
                what = f"{self._peer.name}, {case}, {connections} connections"
                self._tick(f"round {self._number + 1}: {what}")
                self.samples.append(self._sample(case, request, connections))

    def kept(self) -> list[Kept]:
        """What should be there and what is, if the peer counts at all."""
        stored = self._peer.stored()
        if stored is None:
            return []
        return [Kept(self._number, self._peer.name, self._answered, stored, self._unheard)]

    def _sample(self, case: str, request: http_request.Request, connections: int) -> Sample:
        if self._plan.warmup_s:
            self._load(request, connections, self._plan.warmup_s)
        load, used_s = machine.Busy(machine.LOAD_CORE), machine.cpu_s(self._peer.pid)
        measured = self._load(request, connections, self._plan.seconds)
        used_s = machine.cpu_s(self._peer.pid) - used_s
        return Sample(
            self._number,
            self._peer.name,
            case,
            connections,
            measured.rate * request.readings,
            measured,
            used_s / (measured.duration_us / 1e6),
            load.share(),
        )

    def _load(self, request: http_request.Request, connections: int, seconds: float) -> wrk.Load:
        url, folder = self._peer.url, self._folder
        loaded = wrk.load(url, request, folder, connections=connections, seconds=seconds)
        self._answered += request.readings * (loaded.requests - loaded.refused)
        self._unheard += request.readings * (connections + loaded.broken + loaded.refused)
        return loaded
