"""No process of `up` outlives it, whatever is killed while it starts or stops."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from faults import tree


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_process_is_left_whatever_is_killed_at_start_or_stop(tmp_path: Path):
    seed = random.SystemRandom().randrange(1 << 16)
    rng, port = random.Random(seed), tree.free_port()
    for _ in range(12):
        done = tree.play(port, tmp_path / "data", rng)
        assert not done.wrong, (seed, done)
    assert not tree.starts_again(port, tmp_path / "data")
