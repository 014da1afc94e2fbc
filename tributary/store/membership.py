"""Which aggregator owns which partition: rendezvous hashing over those that are alive. Pure.

There is no leader, no lease and no lock. Two workers that see different members may both own
a partition for a moment; the epoch then rejects the commits of one of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

MISSED_HEARTBEATS = 3  # after which a worker counts as dead


def owned(worker: str, alive: Collection[str], partitions: int) -> set[int]:
    """The partitions of `worker` while these workers are alive; it always counts as alive."""
    candidates = {*alive, worker}
    return {p for p in range(partitions) if owner(p, candidates) == worker}


def owner(partition: int, alive: Collection[str]) -> str:
    """The worker with the greatest hash for this partition.

    Thaler and Ravishankar, "Using name-based mappings to increase hit rates" (1998): when a
    worker joins or leaves, only its own partitions move.
    """
    return max(alive, key=lambda worker: (_weight(worker, partition), worker))


def _weight(worker: str, partition: int) -> bytes:
    return hashlib.blake2b(f"{worker}:{partition}".encode(), digest_size=8).digest()
