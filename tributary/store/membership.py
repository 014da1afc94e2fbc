"""Which aggregator owns which partition: rendezvous hashing with equal shares. Pure.

There is no leader, no lease and no lock. Two workers that see different members may both own
a partition for a moment; the epoch then rejects the commits of one of them.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Collection

MISSED_HEARTBEATS = 3  # after which a worker counts as dead


def owned(worker: str, alive: Collection[str], partitions: int) -> set[int]:
    """The partitions of `worker` while these workers are alive; it always counts as alive."""
    found = owners({*alive, worker}, partitions)
    return {partition for partition, owner in enumerate(found) if owner == worker}


def owners(alive: Collection[str], partitions: int) -> tuple[str, ...]:
    """The worker of each partition; empty if none is alive.

    The numbers of their partitions differ by at most one, so that no worker is idle unless there
    are more workers than partitions. In the order of their numbers, each partition goes to the
    worker with the greatest hash for it that has room: Thaler and Ravishankar, "Using name-based
    mappings to increase hit rates" (1998), with the bounded loads of Mirrokni, Thorup and
    Zadimoghaddam, "Consistent hashing with bounded loads" (2018). When a worker joins or leaves,
    some partitions of others move, too.
    """
    return _owners(frozenset(alive), partitions)


@functools.lru_cache(maxsize=4)  # asked with every heartbeat; the members rarely change
def _owners(alive: frozenset[str], partitions: int) -> tuple[str, ...]:
    if not alive:
        return ()
    share, larger = divmod(partitions, len(alive))  # `larger` workers have one more
    held: Counter[str] = Counter()
    found: list[str] = []
    for partition in range(partitions):
        most = share + (larger > 0)
        having_room = (worker for worker in alive if held[worker] < most)
        chosen = max(having_room, key=lambda worker: (_weight(worker, partition), worker))
        larger -= held[chosen] == share
        held[chosen] += 1
        found.append(chosen)
    return tuple(found)


def _weight(worker: str, partition: int) -> bytes:
    return hashlib.blake2b(f"{worker}:{partition}".encode(), digest_size=8).digest()
