"""Whether the memory of the HTTP process grows with the requests it has served."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench import http_request, machine, wrk
from bench.peers.tributary_peer import Tributary
from bench.rounds import Kept

_CONNECTIONS = 64
_SAMPLES = 40
_FLAT_BYTES = 1.0
_TELLING = 1_000_000


class Memory(msgspec.Struct, frozen=True):
    """Requests served so far and resident bytes, of gunicorn and its worker together."""

    requests: list[int]
    resident_bytes: list[int]
    kept: Kept

    @property
    def growth_bytes(self) -> float:
        """Bytes a request, from the second quarter of the run to its last."""
        quarter = max(1, len(self.requests) // 4)
        middles = [slice(quarter, 2 * quarter), slice(-quarter, None)]
        early, late = (statistics.median(self.resident_bytes[m]) for m in middles)
        first, last = (statistics.median(self.requests[m]) for m in middles)
        return (late - early) / max(1.0, last - first)

    @property
    def verdict(self) -> str:
        """`flat` is less than a byte a request, once the caches are full."""
        if self.requests[-1] < _TELLING:
            return f"too short to tell (below {_TELLING:,} requests)"
        return "flat" if self.growth_bytes < _FLAT_BYTES else "not flat"


def measure(requests: int, *, tick: Callable[[int], None]) -> Memory:
    """Send so many requests and look at the memory in between; `tick` is told the sum so far."""
    peer = Tributary(is_bounded=True)
    served: list[int] = []
    resident: list[int] = []
    answered = unheard = 0
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        try:
            peer.start(Path(folder))
            request = peer.request("single")
            assert request is not None
            http_request.check(peer.url, request)
            answered += 1
            served.append(answered)
            resident.append(machine.resident_bytes(peer.pid))
            seconds = 1.0
            while answered < requests:
                load = wrk.load(
                    peer.url, request, Path(folder), connections=_CONNECTIONS, seconds=seconds
                )
                answered += load.requests - load.refused
                unheard += _CONNECTIONS + load.broken + load.refused
                served.append(answered)
                resident.append(machine.resident_bytes(peer.pid))
                seconds = max(1.0, requests / _SAMPLES / max(load.rate, 1.0))
                tick(answered)
            kept = Kept(0, peer.name, answered, peer.stored() or 0, unheard)
        finally:
            peer.stop()
    return Memory(served, resident, kept)
