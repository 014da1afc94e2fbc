"""Rendezvous hashing: one owner per partition, and only the partitions of a leaver move."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tributary.store.membership import owned, owner

workers = st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=8)


@given(workers, st.integers(1, 64))
def test_every_partition_has_exactly_one_owner(alive: set[str], partitions: int):
    shares = [owned(worker, alive, partitions) for worker in alive]
    assert sorted(p for share in shares for p in share) == list(range(partitions))


@given(workers, st.text(min_size=1, max_size=8))
def test_only_the_partitions_of_a_worker_that_joins_or_leaves_move(alive: set[str], other: str):
    for partition in range(32):
        before, after = owner(partition, alive), owner(partition, alive | {other})
        assert after in (before, other)


def test_a_worker_always_counts_itself_as_alive():
    assert owned("me", set(), 4) == {0, 1, 2, 3}


def test_partitions_are_distributed_evenly():
    alive = {f"host-{n}" for n in range(4)}
    shares = [len(owned(worker, alive, 1024)) for worker in alive]
    assert min(shares) > 180
    assert max(shares) < 340
