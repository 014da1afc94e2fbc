"""Kills of a program with a spool, of its network and of the server."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from faults import spool_command

pytestmark = pytest.mark.kills

ROUNDS = 3  # kills of each; `scripts/chaos spool` runs more


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_everything_recorded_is_counted_once(tmp_path: Path):
    seed = random.SystemRandom().randrange(1 << 16)
    outcome = spool_command.storm(tmp_path, ROUNDS, seed)
    report = list(spool_command.lines(outcome, seed))
    assert not outcome.violations, report
    assert sum(outcome.kills.values()) == 3 * ROUNDS
    assert outcome.spooled.recorded > 30 * ROUNDS
