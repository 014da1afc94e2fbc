"""No process outlives `up` when one of them is killed during start or stop."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from faults import tree

pytestmark = pytest.mark.kills


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_leaves_no_orphan_after_a_kill_during_start_or_stop(tmp_path: Path):
    seed = random.SystemRandom().randrange(1 << 16)
    rng, port = random.Random(seed), tree.free_port()
    for _ in range(4):  # `scripts/chaos tree` runs more
        done = tree.run_round(port, tmp_path / "data", rng)
        assert not done.problems, (seed, done)
    assert not tree.starts_again(port, tmp_path / "data")
