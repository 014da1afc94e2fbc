"""A few kills of `scripts/chaos mqtt`."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults import bridge_command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.kills]


@pytest.mark.parametrize("name", bridge_command.RUNS)
def test_nothing_is_lost_and_nothing_with_an_id_counts_twice(name: str, tmp_path: Path):
    options = bridge_command.RUNS[name]._replace(kills=3, seed=3)
    outcome = bridge_command.storm(tmp_path, options)
    assert bridge_command.violations(options, outcome) == []
    assert sum(outcome.kills.values()) == 3
