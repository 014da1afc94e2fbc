"""The audit compares the rows of the history with the readings up to its position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
import redis
from operate.test_audit_differences import audit, grow, now_ms
from sqlalchemy import delete, update
from support import folding, histories

from aggregator import pace
from jobs import archive
from jobs import audit as audit_job
from tributary.errors import Unavailable
from tributary.history import schema, store
from tributary.history.database import Database
from tributary.history.position import Gap, Position
from tributary.model.frame import Block, pack
from tributary.operate.audit.history_rows import HistoryReader
from tributary.settings import Settings
from tributary.store import keys

Change = Callable[..., Settings]
SIZES_MS = {each.name: each.slot_ms for each in schema.RESOLUTIONS}


@pytest.fixture
def where(history: Settings, change: Change) -> Settings:
    """Settings with an empty history."""
    return change(partitions=1, data_dir=history.data_dir, history_url=history.history_url)


def test_a_metric_that_is_left_out_of_the_history_for_a_time_has_no_differences(
    where: Settings,
    client: redis.Redis,
    tmp_path: Path,
    open_history: Callable[[Settings], Database],
):
    """Readings of the time in which the catalogue left it out are in no slot, all others are."""
    limited = tmp_path / "metrics.toml"
    limited.write_text('[m]\nkeep = "windows"\n[k]\nkeep = "latest"\n')
    expected = 0
    for metrics_file in ("", str(limited), ""):
        settings = msgspec.structs.replace(where, metrics_file=metrics_file)
        now = now_ms()
        for n in range(5):
            values = {"m": float(n), "k": 1.0, "other": 2.0}
            folding.append(client, settings, [Block("a", now + n * 100, values)])
        folding.aggregate(settings, client)
        archive.run(settings, 0)
        expected += 0 if metrics_file else 5
        found = audit(client, settings, history=open_history(settings))
        assert found.differences == []
        counts: Counter[str] = Counter()
        for (slot_ms, _, metric, _), cell in histories.rows(open_history(settings)).items():
            if slot_ms == SIZES_MS["days"]:
                counts[metric] += int(cell[0])
        assert (counts["m"], counts["k"]) == (expected, expected)
    assert counts["other"] == 15


@pytest.mark.parametrize("seed", range(3))
def test_random_histories_have_no_differences_in_the_history(
    where: Settings,
    client: redis.Redis,
    db: Database,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
):
    random = Random(seed)
    monkeypatch.setattr(pace, "NEW_SERIES_MAX", 4)
    for part in range(3):
        grow(client, random, random.randrange(1, 15))
        folding.aggregate(where, client)
        if random.random() < 0.7:
            archive.run(where, 0)
        if part == 1 and seed % 2:
            client.xtrim(keys.readings(0), maxlen=5, approximate=False)
        found = audit(client, where, history=db, values_max=random.choice([2_000, 10**6]))
        assert found.differences == [], (seed, part)
        assert found.history_entry == store.positions(db)[0].entry_id


@pytest.mark.parametrize("table", SIZES_MS)
@pytest.mark.parametrize("what", ["mean", "missing", "more"])
def test_a_corrupted_row_is_reported(
    where: Settings, client: redis.Redis, db: Database, table: str, what: str
):
    now = now_ms()
    for n in range(30):
        blocks = [Block(device, now - n * 3_600_000, {"m0": n / 7}) for device in "ab"]
        folding.append_frame(client, 0, pack(blocks), 2)
    folding.aggregate(where, client)
    archive.run(where, 0)
    rows = schema.metadata.tables[table]
    with db.writing() as connection:
        number = connection.execute(
            schema.series.select().where(schema.series.c.device == "a")
        ).scalar()
        of_series = rows.c.series_id == number
        query = rows.select().where(of_series).order_by(rows.c.slot_ms)
        slot_ms = connection.execute(query).first()[1]
        one = of_series & (rows.c.slot_ms == slot_ms)
        if what == "mean":
            connection.execute(update(rows).where(one).values(mean=12345.0))
        elif what == "missing":
            connection.execute(delete(rows).where(one))
        else:
            connection.execute(update(rows).where(one).values(slot_ms=slot_ms - SIZES_MS[table]))
    found = audit(client, where, history=db)
    assert found.differences
    assert {(one.store, one.device, one.metric) for one in found.differences} == {
        (table, "a", "m0")
    }


def test_a_gap_of_the_history_is_not_a_difference(
    where: Settings, client: redis.Redis, db: Database
):
    grow(client, Random(7), 10)
    folding.aggregate(where, client)
    found: Any = client.xrevrange(keys.readings(0), count=1)
    with store.begin(db, 0) as transaction:
        transaction.note_gap(Gap(0, now_ms(), 10, 10))
        transaction.advance(Position(found[0][0].decode(), 10, 10))
    report = audit(client, where, history=db)
    assert (report.differences, report.since) == ([], None)


def test_a_history_that_changes_all_the_time_is_not_compared(
    where: Settings, client: redis.Redis, db: Database, monkeypatch: pytest.MonkeyPatch
):
    if where.history_url:
        pytest.skip("one database is enough")
    grow(client, Random(8), 3)
    folding.aggregate(where, client)
    archive.run(where, 0)
    ids = iter(range(1000))
    monkeypatch.setattr(HistoryReader, "_position", lambda *_: f"{next(ids)}-0")
    with pytest.raises(Unavailable, match="changed 5 times"):
        audit(client, where, history=db)


def test_the_job_fails_if_there_is_a_difference(where: Settings, client: redis.Redis, db: Database):
    grow(client, Random(9), 5)
    folding.aggregate(where, client)
    archive.run(where, 0)
    wrong = msgspec.structs.replace(where, partitions=7)  # those of the data count
    assert audit_job.run(wrong, 0)["slots"] > 0
    device = client.zrange(keys.devices(0), 0, 0)[0]
    client.hdel(keys.latest(0), device)
    with pytest.raises(audit_job.DifferencesFound, match="partition 0 has"):
        audit_job.run(where, 0)


def test_each_night_has_its_share_of_the_series():
    day_ms = 86_400_000
    shares = [audit_job.share_of_night(n * day_ms + 5, 2, 12_000) for n in range(8)]
    assert shares == [(0, 3), (0, 3), (1, 3), (1, 3), (2, 3), (2, 3), (0, 3), (0, 3)]
    assert audit_job.share_of_night(9, 2, 0) == (0, 1)


def test_the_shares_are_all_series(where: Settings, client: redis.Redis, db: Database):
    grow(client, Random(10), 8)
    folding.aggregate(where, client)
    archive.run(where, 0)
    at_ms = now_ms()  # one time for all, because slots pass out of the windows
    whole = audit(client, where, history=db, now_ms=lambda: at_ms)
    parts = [audit(client, where, history=db, share=(n, 3), now_ms=lambda: at_ms) for n in range(3)]
    assert sum(part.series for part in parts) == whole.series
    assert sum(part.slots for part in parts) == whole.slots
    assert sum(part.differences_found for part in parts) == 0


def test_a_job_that_would_take_too_long_compares_nothing(
    where: Settings, client: redis.Redis, db: Database, monkeypatch: pytest.MonkeyPatch
):
    grow(client, Random(11), 3)
    folding.aggregate(where, client)
    monkeypatch.setattr(audit_job, "READ_S", -1.0)
    assert audit_job.run(where, 0) == {"partition": 0, "slots": 0, "readings": 0}
