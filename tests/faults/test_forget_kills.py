"""A few kills of `scripts/chaos forget`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from faults import forget_command
from faults.forget_kills import KINDS, Options

pytestmark = pytest.mark.kills


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_forgotten_devices_stay_forgotten_and_others_are_exact(tmp_path: Path):
    seed = random.SystemRandom().randrange(1 << 16)
    outcome = forget_command.storm(tmp_path, Options(2 * len(KINDS), seed))
    assert outcome.violations == [], seed
    assert sum(outcome.kills.values()) == 2 * len(KINDS)
    assert outcome.returned > 0
