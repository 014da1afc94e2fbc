"""Whether `/collect` is slower with many devices than with few."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from bench import http_request, wrk
from bench.peers.tributary_peer import Tributary
from bench.rounds import Plan


class DeviceCounts(msgspec.Struct, frozen=True):
    """Median latency of random devices, with few and with many devices, in each round."""

    few: int
    many: int
    connections: int
    few_p50_us: list[int]
    many_p50_us: list[int]

    @property
    def ratio(self) -> float:
        """The median over the rounds of the ratio of many to few."""
        rounds = zip(self.few_p50_us, self.many_p50_us, strict=True)
        return statistics.median(many / few for few, many in rounds)


def measure(few: int, many: int, plan: Plan, tick: Callable[[str], None]) -> list[DeviceCounts]:
    """Start both servers and measure them alternately; the other one is idle."""
    found = [DeviceCounts(few, many, connections, [], []) for connections in plan.connections]
    tick(f"writing {many:,} devices")
    with _serving(few) as small, _serving(many) as large:
        for number in range(plan.rounds):
            for counts in found:
                sides = [(small, counts.few_p50_us), (large, counts.many_p50_us)]
                for (peer, folder), p50_us in sides if number % 2 == 0 else sides[::-1]:
                    tick(f"round {number + 1}: /collect, {counts.connections} connections")
                    p50_us.append(_p50_us(peer, folder, counts.connections, plan))
    return found


@contextlib.contextmanager
def _serving(devices: int) -> Iterator[tuple[Tributary, Path]]:
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as name:
        peer = Tributary("api", devices=devices)
        try:
            peer.start(Path(name))
            yield peer, Path(name)
        finally:
            peer.stop()


def _p50_us(peer: Tributary, folder: Path, connections: int, plan: Plan) -> int:
    request = peer.request("collect fleet")
    assert request is not None
    http_request.check(peer.url, request)
    if plan.warmup_s:
        wrk.load(peer.url, request, folder, connections=connections, seconds=plan.warmup_s)
    return wrk.load(peer.url, request, folder, connections=connections, seconds=plan.seconds).p50_us
