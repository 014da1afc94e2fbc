"""Latency at half of the maximum rate, where a server should be at ease."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from bench import http_request, openloop
from bench.peers.tributary_peer import Tributary
from bench.rounds import Kept

_CONNECTIONS = 128


class AtHalf(msgspec.Struct, frozen=True):
    """The greatest rate measured, what came of half of it, and whether it all arrived."""

    most: float
    asked: float
    result: openloop.Result
    kept: Kept | None

    @property
    def is_steady(self) -> bool:
        """Whether the load could be kept up: if not, the figures are those of a queue."""
        return self.result.rate > 0.95 * self.asked


def measure(peer: Tributary, case: str, most: float, seconds: float) -> AtHalf:
    """An open loop at half of `most` requests a second, on a fresh server."""
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        try:
            peer.start(Path(folder))
            request = peer.request(case)
            assert request is not None
            http_request.check(peer.url, request)
            result = openloop.run(
                peer.url, request, rate=most / 2, seconds=seconds, connections=_CONNECTIONS
            )
            stored = peer.stored()
        finally:
            peer.stop()
    # This load waits for every answer: the counts are equal but for what broke or was refused.
    unheard = result.broken + result.refused
    kept = None if stored is None else Kept(0, peer.name, result.answered + 1, stored, unheard)
    return AtHalf(most, most / 2, result, kept)
