"""A short version of `scripts/chaos jobs`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support.programs import needed

from faults import job_command, job_failovers
from faults.events import Options


@pytest.mark.kills
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_accepted_job_has_its_effect_when_the_master_is_killed(tmp_path: Path):
    needed("redis-server")
    seed = random.SystemRandom().randrange(1 << 16)
    options = Options("killed", "replicated", rounds=1, seed=seed)
    outcome = job_failovers.run(tmp_path, options)
    print(f"\nseed {seed}: {outcome}")  # noqa: T201 - figures
    assert job_command.violations(options, outcome) == [], (seed, outcome)
    assert all(kind.accepted for kind in outcome.kinds.values()), (seed, outcome)
