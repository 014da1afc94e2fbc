"""A few kills of `scripts/chaos alerts`."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults import alert_command
from faults.alert_kills import Options

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.kills]


def test_each_transition_is_logged_once_and_delivered(tmp_path: Path):
    outcome = alert_command.storm(tmp_path, Options(kills=20, seed=5))
    assert alert_command.violations(outcome) == []
    assert outcome.transitions > outcome.to_send > 20
