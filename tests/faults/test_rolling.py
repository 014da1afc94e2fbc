"""Short versions of `scripts/chaos restarts` and `scripts/chaos upgrade`."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest
from support.programs import needed

from faults import restart_command, upgrade_command
from faults.rig import Unsupported
from faults.rolling import PER_ROLE, Outcome, Rolling

pytestmark = [pytest.mark.kills, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def seed() -> int:
    needed("nginx")
    return random.SystemRandom().randrange(1 << 16)


def check(outcome: Outcome, seed: int) -> None:
    assert not outcome.violations, list(restart_command.lines(outcome, f"seed {seed}"))
    assert outcome.verdict.acknowledged == outcome.verdict.stored > 0
    assert outcome.collected["200"] > 0


def test_one_process_of_each_role_restarts_without_an_error(tmp_path: Path, seed: int):
    with contextlib.closing(Rolling(tmp_path, seed)) as rolling:
        for node in rolling.nodes[::PER_ROLE]:
            rolling.restart(node)
        check(rolling.outcome(), seed)


def test_the_processes_of_the_previous_release_are_replaced_one_by_one(tmp_path: Path, seed: int):
    try:
        outcome = upgrade_command.run(tmp_path, upgrade_command.PREVIOUS, seed)
    except Unsupported as error:
        pytest.skip(str(error))
    check(outcome, seed)


def test_a_clone_without_the_commit_is_told_how_to_get_it(tmp_path: Path):
    with pytest.raises(Unsupported, match="no commit 0000000; git fetch --unshallow"):
        upgrade_command.export("0000000", tmp_path)
