"""One failover of a cluster: what each level loses, and that all of it is reported."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support.programs import needed

from faults.failovers import Level, Options, play


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("level", "lag_ms"), [("aof", 0), ("aof", 1000), ("replicated", 0), ("replicated", 1500)]
)
def test_what_a_failover_loses_is_reported_and_nothing_counts_twice(
    tmp_path: Path, level: Level, lag_ms: int
):
    needed("redis-server")
    seed = random.SystemRandom().randrange(1 << 16)
    found = play(tmp_path, Options(level, lag_ms, seed, load_s=2.0))
    print(f"\nseed {seed}: {found}")  # noqa: T201 - figures
    assert not found.problems, (seed, found)
    assert found.twice == 0, (seed, found)
    assert found.lost <= found.reported, (seed, found)
    if lag_ms and level == "aof":
        assert found.lost > 0, (seed, found)  # else the replica did not lag
    if level == "replicated":
        assert found.lost == found.reported == 0, (seed, found)
        assert bool(lag_ms) == bool(found.answers_503), (seed, found)
