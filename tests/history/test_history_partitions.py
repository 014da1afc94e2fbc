"""Readings of many years in one transaction, and partitions of PostgreSQL created in groups."""

from __future__ import annotations

import pytest
from history.slot_data import slots_of

from tributary.history import postgres, reads
from tributary.history.database import Database
from tributary.history.schema import MINUTES
from tributary.history.slots import DAY_MS
from tributary.history.store import begin

FIRST_MS = 946_684_800_000  # 2000-01-01


def test_readings_of_26_years_are_merged_at_once(db: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(postgres, "_PARTITIONS_PER_TRANSACTION", 7)
    times_ms = [FIRST_MS + quarter * 91 * DAY_MS for quarter in range(105)]
    for _ in range(2):
        with begin(db, 0) as transaction:
            transaction.merge(slots_of([("car-1", "x", at_ms, 1.0) for at_ms in times_ms]))
    found, cells = reads.read(db, "car-1", "x", MINUTES.slot_ms, 0, 2**62)
    assert found.tolist() == times_ms
    assert set(cells["count"].tolist()) == {2}
