"""Whether `/collect` takes longer with many devices than with few."""

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


class Populations(msgspec.Struct, frozen=True):
    """Median latency of random devices among few and among many, in each round."""

    few: int
    many: int
    connections: int
    few_p50_us: list[int]
    many_p50_us: list[int]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios, many to few."""
        both = zip(self.few_p50_us, self.many_p50_us, strict=True)
        return statistics.median(many / few for few, many in both)


def measure(few: int, many: int, plan: Plan, tick: Callable[[str], None]) -> list[Populations]:
    """Both servers stand side by side and are asked in turn; the one not asked rests."""
    found = [Populations(few, many, connections, [], []) for connections in plan.connections]
    tick(f"filling in {many:,} devices")
    with _serving(few) as small, _serving(many) as large:
        for number in range(plan.rounds):
            for populations in found:
                sides = [(small, populations.few_p50_us), (large, populations.many_p50_us)]
                for (peer, folder), p50_us in sides if number % 2 == 0 else sides[::-1]:
                    tick(f"round {number + 1}: /collect, {populations.connections} connections")
                    p50_us.append(_p50_us(peer, folder, populations.connections, plan))
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
    request = peer.request("collect any")
    assert request is not None
    http_request.check(peer.url, request)
    if plan.warmup_s:
        wrk.load(peer.url, request, folder, connections=connections, seconds=plan.warmup_s)
    return wrk.load(peer.url, request, folder, connections=connections, seconds=plan.seconds).p50_us
