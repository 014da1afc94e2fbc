"""Latency at half the maximum rate."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from bench import http_request, openloop, rounds, wrk
from bench.peers.tributary_peer import Tributary
from bench.rounds import Reconciliation

_CONNECTIONS = 128


class HalfLoad(msgspec.Struct, frozen=True):
    """The maximum rate, the result of a load at half of it, and its reconciliation."""

    max_rate: float
    target_rate: float
    result: openloop.Result
    reconciliation: Reconciliation | None

    @property
    def is_steady(self) -> bool:
        """Whether the server kept up; if not, latencies are those of a growing queue."""
        return self.result.rate > 0.95 * self.target_rate


def measure(
    peer: Tributary, case: str, max_rate: float, seconds: float, *, introduces: bool = False
) -> HalfLoad:
    """Run an open loop at half of `max_rate` requests per second on a new server.

    `introduces`: send readings of most devices before.
    """
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        try:
            peer.start(Path(folder))
            request = peer.request(case)
            assert request is not None
            http_request.check(peer.url, request)
            before = _introduce(peer, request, Path(folder)) if introduces else []
            result = openloop.run(
                peer.url, request, rate=max_rate / 2, seconds=seconds, connections=_CONNECTIONS
            )
            stored = peer.stored()
        finally:
            peer.stop()
    # This load waits for every response, so only errors and rejections may differ.
    unconfirmed = result.errors + result.rejected
    unconfirmed += sum(_CONNECTIONS + each.errors + each.rejected for each in before)
    introduced = sum(each.requests - each.rejected for each in before)
    reconciliation = (
        None
        if stored is None
        else Reconciliation(peer.name, introduced + result.succeeded + 1, stored, unconfirmed)
    )
    return HalfLoad(max_rate, max_rate / 2, result, reconciliation)


def _introduce(peer: Tributary, request: http_request.Request, folder: Path) -> list[wrk.Load]:
    return rounds.introduce(
        request,
        lambda s: wrk.load(peer.url, request, folder, connections=_CONNECTIONS, seconds=s),
    )
