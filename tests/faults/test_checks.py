"""The checks detect every kind of damage."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults import checks
from faults.rig import Rig, RigOptions
from tributary.store import keys


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A deployment with some readings and no load."""
    with contextlib.closing(Rig(tmp_path, 1, RigOptions(aggregators=1))) as running:
        running.wait_for_readings(300)
        running.drain()
        yield running


def test_detects_duplicates_deletions_and_unreported_losses(rig: Rig):
    assert checks.exactly_once(rig).violations == []
    assert checks.all_losses_reported(rig).violations == []
    partition = next(p for p in range(4) if rig.client.exists(keys.readings(p)))
    stream = keys.readings(partition)
    ((_, fields),) = rig.client.xrange(stream, count=1)

    added = rig.client.xadd(stream, fields)
    findings = checks.exactly_once(rig)
    assert findings.duplicated > 0
    assert any("more than once" in violation for violation in findings.violations)
    assert findings.lost > 0, "the added entry is stored, but not counted"
    rig.client.xdel(stream, added)

    first = rig.client.xrange(stream, count=1)[0][0]
    rig.client.xdel(stream, first)
    findings = checks.exactly_once(rig)
    assert findings.lost > 0
    assert any("not stored" in violation for violation in findings.violations)

    rig.client.delete(keys.rows(partition))
    findings = checks.all_losses_reported(rig)
    assert any("reported as lost" in violation for violation in findings.violations)
