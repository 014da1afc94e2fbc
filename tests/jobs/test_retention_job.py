"""The job that removes old slots uses the settings, and does nothing without a history."""

from __future__ import annotations

import msgspec
from history.slot_data import slots_of

from jobs import due, registry
from tributary.history import reads
from tributary.history.database import Database
from tributary.history.slots import DAY_MS, HOUR_MS, MINUTE_MS
from tributary.history.store import begin
from tributary.model import clock
from tributary.settings import Settings


def test_it_removes_what_the_settings_do_not_keep(history: Settings, db: Database):
    now_ms = clock.utc_ms()
    times_ms = [now_ms - days * DAY_MS for days in (0, 200)]
    with begin(db, 0) as transaction:
        transaction.merge(slots_of([("car-1", "x", at_ms, 1.0) for at_ms in times_ms]))
    assert registry.find("retention").function(history) == 1
    counts = [len(reads.read(db, "car-1", "x", ms, 0, 2 * now_ms)[0])
              for ms in (MINUTE_MS, HOUR_MS, DAY_MS)]  # fmt: skip
    assert counts == [1, 2, 2]


def test_without_a_history_it_is_not_due():
    assert due.retention(Settings()) == [()]
    assert due.retention(msgspec.structs.replace(Settings(), history="off")) == []
