"""A few kills of `scripts/chaos history`."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults import history_command
from faults.history_kills import Options

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.kills]


@pytest.mark.parametrize("database", history_command.DATABASES)
def test_the_history_is_what_was_acknowledged(database: str, tmp_path: Path):
    outcome = history_command.storm(tmp_path, Options(database, kills=10, seed=5))
    assert history_command.violations(outcome) == []
    assert outcome.acknowledged > outcome.in_gaps
