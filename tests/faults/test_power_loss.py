"""Power losses: nothing is lost that was synced, and what is lost is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults import power_loss
from faults.rig import Unsupported


@pytest.mark.kills
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_is_lost_is_counted_and_nothing_else_is(tmp_path: Path):
    try:
        found = list(power_loss.outcomes(tmp_path, 1, 3))
    except Unsupported as error:
        pytest.skip(str(error))
    assert [each.stored.problems for each in found] == [()] * 10
    assert any(each.is_repaired for each in found)
