"""Old slots are removed by resolution: in short transactions, or with their partition."""

from __future__ import annotations

import itertools

import pytest
from history.slot_data import slots_of

from tributary.errors import Misconfigured, Unavailable
from tributary.history import postgres, reads, sqlite
from tributary.history.database import Database
from tributary.history.keep import Keep, keep_of
from tributary.history.retention import prune
from tributary.history.schema import RESOLUTIONS
from tributary.history.slots import DAY_MS, HOUR_MS, MINUTE_MS
from tributary.history.store import begin
from tributary.settings import Settings, load

NOW_MS = 1_790_000_000_000
WEEK_MS = 7 * DAY_MS
KEEP = Keep(10 * DAY_MS, 40 * DAY_MS, None)
DEVICES = [f"car-{n}" for n in range(3)]


@pytest.fixture
def times_ms(db: Database) -> list[int]:
    """The minutes of one reading of each device, 13 hours apart, over more than a year."""
    times = [NOW_MS - n * 13 * HOUR_MS for n in range(700)]
    with begin(db, 0) as transaction:
        transaction.merge(slots_of([(d, "x", t, 1.0) for t in times for d in DEVICES]))
    return [t // MINUTE_MS * MINUTE_MS for t in reversed(times)]


def stored(db: Database, slot_ms: int, device: str = "car-1") -> list[int]:
    return reads.read(db, device, "x", slot_ms, 0, 2 * NOW_MS)[0].tolist()


def test_slots_are_kept_for_as_long_as_the_settings_say(
    db: Database, times_ms: list[int], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sqlite, "_ROWS_PER_REMOVAL", 20)
    monkeypatch.setattr(sqlite, "_SERIES_PER_REMOVAL", 2)
    before = [len(stored(db, each.slot_ms)) for each in RESOLUTIONS]
    removed = prune(db, NOW_MS, KEEP)
    after = [stored(db, each.slot_ms) for each in RESOLUTIONS]
    for resolution, kept_ms, found in zip(RESOLUTIONS, KEEP, after, strict=True):
        slot_ms = resolution.slot_ms
        all_slots = sorted({t // slot_ms * slot_ms for t in times_ms})
        oldest_ms = 0 if kept_ms is None else (NOW_MS - kept_ms) // DAY_MS * DAY_MS
        kept = [t for t in all_slots if t + slot_ms > oldest_ms]
        assert found[-len(kept) :] == kept
        surplus = 0 if db.engine.dialect.name == "sqlite" else resolution.chunk_ms
        assert found == kept or oldest_ms - found[0] < surplus
    assert [stored(db, each.slot_ms, "car-2") for each in RESOLUTIONS] == after
    exact = sum(b - len(a) for b, a in zip(before, after, strict=True)) * len(DEVICES)
    assert removed == exact > 0
    assert prune(db, NOW_MS, KEEP) == 0


def test_without_limits_nothing_is_removed(db: Database, times_ms: list[int]):
    assert prune(db, NOW_MS, Keep(None, None, None)) == 0
    assert stored(db, MINUTE_MS) == times_ms


def test_a_late_reading_may_be_older_than_what_was_removed(db: Database, times_ms: list[int]):
    prune(db, NOW_MS, KEEP)
    with begin(db, 0) as transaction:
        transaction.merge(slots_of([("car-1", "x", times_ms[0], 2.0)]))
    assert stored(db, MINUTE_MS)[0] == times_ms[0]


def test_the_removal_does_not_make_readers_wait_for_long(
    db: Database, times_ms: list[int], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(postgres, "_REMOVAL_LOCK_TIMEOUT_MS", 50)
    with db.reading() as connection:
        db.dialect.select(connection, RESOLUTIONS[0], reads.np.array([1]), 0, NOW_MS, 10)
        if db.engine.dialect.name == "sqlite":
            assert prune(db, NOW_MS, KEEP) > 0
        else:
            with pytest.raises(Unavailable, match="a lock was held for too long"):
                prune(db, NOW_MS, KEEP)
    prune(db, NOW_MS, KEEP)


def test_the_settings_are_durations_or_empty():
    assert keep_of(Settings()) == Keep(30 * DAY_MS, 730 * DAY_MS, None)
    names = [f"TRIBUTARY_HISTORY_KEEP_{each.name.upper()}" for each in RESOLUTIONS]
    found = load(dict(zip(names, ["", "7d", "52d"], strict=True)))
    assert keep_of(found) == Keep(None, 7 * DAY_MS, 52 * DAY_MS)
    for name, text in itertools.product(names, ["always", "0d", "7"]):
        with pytest.raises(Misconfigured, match=f"{name}='{text}': .* is not a duration"):
            load({name: text})
