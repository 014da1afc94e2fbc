"""Whether the memory of the HTTP processes grows with the number of requests."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from bench import http_request, machine, wrk
from bench.peers.tributary_peer import Tributary
from bench.rounds import Reconciliation

_CONNECTIONS = 64
_SAMPLES = 40
_FLAT_BYTES = 1.0
_MIN_REQUESTS = 1_000_000


class MemoryGrowth(msgspec.Struct, frozen=True):
    """Requests so far, and resident bytes of gunicorn and its worker together."""

    requests: list[int]
    resident_bytes: list[int]
    reconciliation: Reconciliation

    @property
    def bytes_per_request(self) -> float:
        """Growth from the second quarter of the run to the last."""
        quarter = max(1, len(self.requests) // 4)
        middles = [slice(quarter, 2 * quarter), slice(-quarter, None)]
        early, late = (statistics.median(self.resident_bytes[m]) for m in middles)
        first, last = (statistics.median(self.requests[m]) for m in middles)
        return (late - early) / max(1.0, last - first)

    @property
    def verdict(self) -> str:
        """`flat` means less than a byte per request after the caches are full."""
        if self.requests[-1] < _MIN_REQUESTS:
            return f"run too short (below {_MIN_REQUESTS:,} requests)"
        return "flat" if self.bytes_per_request < _FLAT_BYTES else "not flat"

    def document(self) -> dict[str, Any]:
        """The samples with their verdict, for JSON."""
        growth = self.bytes_per_request
        return {"verdict": self.verdict, "growth_bytes": growth, "series": self}


def measure(requests: int, *, tick: Callable[[int], None]) -> MemoryGrowth:
    """Sample memory while sending requests; `tick` is called with the number so far."""
    peer = Tributary(is_bounded=True, rewrites=True)
    served: list[int] = []
    resident: list[int] = []
    acknowledged = unconfirmed = 0
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        try:
            peer.start(Path(folder))
            request = peer.request("fleet")
            assert request is not None
            http_request.check(peer.url, request)
            acknowledged += 1
            served.append(acknowledged)
            resident.append(machine.resident_bytes(peer.pid))
            seconds = 1.0
            while acknowledged < requests:
                load = wrk.load(
                    peer.url, request, Path(folder), connections=_CONNECTIONS, seconds=seconds
                )
                acknowledged += load.requests - load.rejected
                unconfirmed += _CONNECTIONS + load.errors + load.rejected
                served.append(acknowledged)
                resident.append(machine.resident_bytes(peer.pid))
                seconds = max(1.0, requests / _SAMPLES / max(load.rate, 1.0))
                tick(acknowledged)
            stored = peer.stored() or 0
            reconciliation = Reconciliation(peer.name, acknowledged, stored, unconfirmed)
        finally:
            peer.stop()
    return MemoryGrowth(served, resident, reconciliation)
