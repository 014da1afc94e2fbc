"""A short kill storm over every process of `up`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support.programs import needed

from faults import kill_command
from faults.kills import Durability, Options

pytestmark = pytest.mark.kills

KILLS = 6  # `scripts/chaos kills` runs hundreds


def check(folder: Path, options: Options) -> None:
    outcome = kill_command.storm(folder, options)
    report = list(kill_command.lines(options, outcome))
    assert not kill_command.violations(options, outcome), report
    assert sum(outcome.kills.values()) == options.kills
    assert outcome.verdict.acknowledged > options.kills


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("durability", ["aof", "fsync"])
def test_kills_of_every_process_break_no_guarantee_and_leave_no_orphan(
    tmp_path: Path, durability: Durability
):
    check(tmp_path, Options(KILLS, random.SystemRandom().randrange(1 << 16), durability))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_kills_on_a_slow_disk_count_nothing_twice(tmp_path: Path):
    needed("strace")
    check(tmp_path, Options(KILLS, random.SystemRandom().randrange(1 << 16), "aof", 300))
