"""Summaries and positions are written together, exactly once, whatever the order of merges."""

from __future__ import annotations

import math
import pickle
import random
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from history.slot_data import (
    Key,
    Reading,
    by_key,
    check,
    slots_of,
    values_by_slot,
)
from history.test_history_slots import extreme, huge, readings, tiny, usual
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from tributary.errors import Refused, Unavailable
from tributary.history import reads
from tributary.history.database import Database
from tributary.history.position import Gap, Position
from tributary.history.schema import RESOLUTIONS, metadata
from tributary.history.slots import DAY_MS, HOUR_MS, MINUTE_MS
from tributary.history.store import begin, positions
from tributary.model.aggregate import Records
from tributary.settings import Settings

EVER_MS = 2**62
FIRST_MS = 1_577_836_800_000


def merge(db: Database, found: list[Reading], partition: int = 0) -> None:
    with begin(db, partition) as transaction:
        transaction.merge(slots_of(found))


def everything(db: Database, slot_ms: int) -> dict[Key, Records]:
    found: dict[Key, Records] = {}
    for page in reads.read_many(db, "*", None, slot_ms, 0, EVER_MS):
        assert found.keys().isdisjoint(by_key(page))
        found |= by_key(page)
    return found


def clear(db: Database) -> None:
    with db.writing() as connection:
        for table in metadata.sorted_tables:
            connection.execute(table.delete())


@st.composite
def merges(draw: st.DrawFn) -> list[list[Reading]]:
    """Readings, split in any way."""
    kinds = [readings(values, 30) for values in (usual, extreme, huge, tiny)]
    found = draw(st.one_of(*kinds))
    ends = sorted(draw(st.lists(st.integers(0, len(found)), max_size=4)))
    return [found[start:end] for start, end in zip([0, *ends], [*ends, len(found)], strict=True)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(merges(), st.randoms())
def test_any_split_of_readings_gives_the_same_slots(
    db: Database, parts: list[list[Reading]], shuffled: random.Random
):
    clear(db)
    found = [reading for part in parts for reading in part]
    shuffled.shuffle(parts)
    for part in parts:
        merge(db, part)
    for resolution in RESOLUTIONS:
        slot_ms = resolution.slot_ms
        check(everything(db, slot_ms), values_by_slot(found, slot_ms))


def test_rows_and_position_are_written_together_or_not_at_all(db: Database):
    reached = Position("1-0", 3, 5)
    with begin(db, 4) as transaction:
        assert transaction.position == Position()
        transaction.merge(slots_of([("car-1", "speed", 5, 1.0)]))
        transaction.note_gap(Gap(1, 9, 2, 4))
        transaction.advance(reached)
    with pytest.raises(ZeroDivisionError):
        _fail_after_writing(db, reached)
    assert positions(db) == {4: reached}
    assert [cell["count"] for cell in everything(db, DAY_MS).values()] == [1]
    assert reads.gaps(db, 0, 10) == [Gap(1, 9, 2, 4)]
    assert reads.total_gap(db) == (2, 4)
    assert reads.gaps(db, 10, 20) == reads.gaps(db, 0, 10, partition=3) == []


def _fail_after_writing(db: Database, reached: Position) -> None:
    with begin(db, 4) as transaction:
        assert transaction.position == reached
        transaction.merge(slots_of([("car-1", "speed", 5, 1.0), ("car-2", "speed", 5, 1.0)]))
        transaction.note_gap(Gap(1, 9, 2, 4))
        transaction.advance(Position("2-0", 4, 6))
        raise ZeroDivisionError


def test_two_writers_of_a_partition_wait_for_each_other(
    history: Settings, open_history: Callable[[Settings], Database]
):
    """Each adds one to the position that it finds; with both unlocked, some would be lost."""

    def write() -> None:
        db = open_history(history)
        for _ in range(10):
            with begin(db, 0) as transaction:
                entries = transaction.position.entries + 1
                transaction.merge(slots_of([("car-1", "speed", entries, 1.0)]))
                transaction.advance(Position(f"{entries}-0", entries, entries))

    writers = [threading.Thread(target=write) for _ in range(3)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    db = open_history(history)
    assert positions(db) == {0: Position("30-0", 30, 30)}
    assert [cell["count"] for cell in everything(db, MINUTE_MS).values()] == [30]


def test_writers_of_different_partitions_create_the_same_partitions_of_tables(
    history: Settings, open_history: Callable[[Settings], Database]
):
    def write(partition: int) -> None:
        db = open_history(history)
        for week in range(5):
            at_ms = FIRST_MS + (week if partition % 2 else 4 - week) * 7 * DAY_MS
            merge(db, [(f"car-{partition}", "speed", at_ms, 1.0)], partition)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    assert len(everything(open_history(history), MINUTE_MS)) == 15


def test_deleting_devices_deletes_every_row_of_theirs_and_no_other(db: Database):
    merge(db, [("car-1", "speed", 5, 1.0), ("car-1", "rpm", 5, 1.0), ("car-10", "rpm", 5, 1.0)])
    with begin(db, 0) as transaction:
        assert transaction.delete_devices(["car-1", "car-2"]) == 2 * (1 + 3)
    assert set(everything(db, HOUR_MS)) == {("car-10", "rpm", 0)}
    assert reads.series_of(db, "car-1") == []
    merge(db, [("car-1", "rpm", 5, 2.0)])
    assert [cell["mean"] for cell in everything(db, DAY_MS).values()] == [2.0, 1.0]


def test_a_deleted_name_is_in_no_file_of_sqlite(
    tmp_path: Path, open_history: Callable[[Settings], Database]
):
    db = open_history(Settings(data_dir=str(tmp_path)))
    merge(db, [(f"secret-{n}", "speed", 5, 1.0) for n in range(500)])
    files = list(tmp_path.glob("history.db*"))
    assert any(b"secret-" in path.read_bytes() for path in files)
    with begin(db, 0) as transaction:
        transaction.delete_devices([f"secret-{n}" for n in range(500)])
    db.scrub()
    assert not any(b"secret-" in path.read_bytes() for path in files)
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o600"}


def test_a_scrub_keeps_the_other_devices(db: Database):
    merge(db, [("car-1", "speed", 5, 1.0)])
    db.scrub()
    assert len(everything(db, DAY_MS)) == 1


def test_one_series_is_read_by_span_and_resolution(db: Database):
    merge(db, [("car-1", "speed", n * MINUTE_MS + 7, float(n)) for n in range(120)])
    slot_ms, cells = reads.read(db, "car-1", "speed", MINUTE_MS, MINUTE_MS, 3 * MINUTE_MS)
    assert slot_ms.tolist() == [MINUTE_MS, 2 * MINUTE_MS]
    assert cells["mean"].tolist() == [1.0, 2.0]
    slot_ms, cells = reads.read(db, "car-1", "speed", HOUR_MS, 0, EVER_MS)
    assert (slot_ms.tolist(), cells["count"].tolist()) == ([0, HOUR_MS], [60, 60])
    assert len(reads.read(db, "car-1", "rpm", HOUR_MS, 0, EVER_MS)[0]) == 0


def test_a_read_of_one_series_is_bounded(db: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reads, "SLOTS_MAX", 100)
    merge(db, [("car-1", "speed", n * MINUTE_MS, 1.0) for n in range(101)])
    assert len(reads.read(db, "car-1", "speed", MINUTE_MS, 0, 100 * MINUTE_MS)[0]) == 100
    with pytest.raises(Refused, match="more than 100 slots"):
        reads.read(db, "car-1", "speed", MINUTE_MS, 0, EVER_MS)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "_PAGE_ROWS", 7)
    monkeypatch.setattr(reads, "_SERIES_PER_PAGE", 5)


def test_many_series_are_read_in_bounded_pages_by_name_and_time(db: Database, small_pages: None):
    sizes = [1, 1, 30, 1, 7, 8, 14, 1, 1, 1, 1, 1, 2, 20]
    for number, size in reversed(list(enumerate(sizes))):
        device = f"car-{number:02}"
        merge(db, [(device, "speed", n * MINUTE_MS, float(n)) for n in range(size)])
    pages = list(reads.read_many(db, "*", None, MINUTE_MS, 0, EVER_MS))
    assert max(len(page.cells) for page in pages) <= 7
    keys = [key for page in pages for key in by_key(page)]
    assert keys == [
        (f"car-{number:02}", "speed", n * MINUTE_MS)
        for number, size in enumerate(sizes)
        for n in range(size)
    ]


@pytest.mark.parametrize(
    ("devices", "metrics", "expected"),
    [
        ("*", None, ["B_1 rpm", "b-1 rpm", "b-1 speed", "b_1 rpm", "b_2/x rpm"]),
        ("b_*", None, ["b_1 rpm", "b_2/x rpm"]),
        ("b*1", ["rpm"], ["b-1 rpm", "b_1 rpm"]),
        ("b_1", None, ["b_1 rpm"]),
        (["b_1", "B_1", "none"], None, ["B_1 rpm", "b_1 rpm"]),
        ("*", ["speed"], ["b-1 speed"]),
        ([], None, []),
    ],
    ids=str,
)
def test_devices_are_selected_by_pattern_or_name(
    db: Database, devices: str | list[str], metrics: list[str] | None, expected: list[str]
):
    names = [("b-1", "speed"), ("b_1", "rpm"), ("B_1", "rpm"), ("b_2/x", "rpm"), ("b-1", "rpm")]
    merge(db, [(*name, 0, 1.0) for name in names])
    pages = reads.read_many(db, devices, metrics, MINUTE_MS, 0, EVER_MS)
    assert [f"{key[0]} {key[1]}" for page in pages for key in by_key(page)] == expected


def test_a_database_cannot_be_sent_to_another_process(db: Database):
    with pytest.raises(TypeError, match="open it in the process that uses it"):
        pickle.dumps(db)


def test_a_lock_that_is_held_for_too_long_is_unavailable(
    history: Settings, open_history: Callable[..., Database]
):
    hasty = Settings(
        data_dir=history.data_dir, history_url=history.history_url, history_timeout_ms=500
    )
    first, second = open_history(history), open_history(hasty)
    with begin(first, 0):
        with pytest.raises(Unavailable, match="TRIBUTARY_HISTORY_TIMEOUT_MS"), begin(second, 0):
            pass
        assert positions(second) == {}  # readers do not wait
    with begin(second, 0) as transaction:
        assert transaction.position == Position()


def test_statistics_are_stored_bit_by_bit(db: Database):
    values = [5e-324, -1.7976931348623157e308, math.pi, 1e-310]
    merge(db, [(f"car-{n}", "x", 0, value) for n, value in enumerate(values)])
    assert [cell["mean"] for cell in everything(db, DAY_MS).values()] == values
    with db.reading() as connection:
        found = connection.execute(text("SELECT min, max FROM minutes ORDER BY series_id")).all()
    assert np.array(found)[:, 0].tolist() == values
