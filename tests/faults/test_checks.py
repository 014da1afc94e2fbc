"""The judge sees what it is there to see: with each kind of damage done, it says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from faults import checks
from faults.rig import Needs, Stand, standing
from tributary.store import keys


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """A deployment with some readings, at rest."""
    with standing(tmp_path, 1, Needs(aggregators=1)) as running:
        running.settle_load(300)
        running.drain()
        yield running


def test_it_sees_every_kind_of_damage(stand: Stand):
    assert checks.exact(stand).faults == []
    assert checks.accounted(stand).faults == []
    partition = next(p for p in range(16) if stand.client.exists(keys.readings(p)))
    stream = keys.readings(partition)
    ((_, fields),) = stand.client.xrange(stream, count=1)

    added = stand.client.xadd(stream, fields)
    doubled = checks.exact(stand)
    assert doubled.duplicated > 0
    assert any("more than once" in fault for fault in doubled.faults)
    assert doubled.lost > 0, "what was added is stored, but not counted"
    stand.client.xdel(stream, added)

    first = stand.client.xrange(stream, count=1)[0][0]
    stand.client.xdel(stream, first)
    gone = checks.exact(stand)
    assert gone.lost > 0
    assert any("not stored" in fault for fault in gone.faults)

    stand.client.delete(keys.state(partition))
    assert any("reported as lost" in fault for fault in checks.accounted(stand).faults)
