"""The audit compares the rows of the history with the readings up to its position."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import msgspec
import pytest
import redis
from operate.test_audit_differences import audit, grow, now_ms
from sqlalchemy import delete, update
from support import folding
from support.postgres import Postgres

from aggregator import pace
from aggregator.account import Counts, sort_out
from jobs import audit as audit_job
from tributary.errors import Unavailable
from tributary.history import schema, store
from tributary.history.database import Database
from tributary.history.slots import MINUTE_MS, summarize
from tributary.history.store import Gap, Position
from tributary.model.frame import Block, pack
from tributary.operate.audit.history_rows import HistoryReader
from tributary.settings import Settings
from tributary.store import keys

Change = Callable[..., Settings]
SIZES_MS = {each.name: each.slot_ms for each in schema.RESOLUTIONS}


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    cluster = Postgres()
    yield cluster
    cluster.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, change: Change, tmp_path: Any) -> Settings:
    """Settings with an empty history."""
    is_file = request.param == "sqlite"
    url = "" if is_file else request.getfixturevalue("postgres").create()
    return change(partitions=1, data_dir=str(tmp_path), history_url=url)


@pytest.fixture
def history(where: Settings) -> Iterator[Database]:
    database = Database.open(where, migrate=True)
    yield database
    database.close()


def archive(client: redis.Redis, db: Database, entries: int | None = None) -> None:
    """Merge what follows the position into the history, up to some entries."""
    with store.begin(db, 0) as transaction:
        after, count = transaction.position, entries or 1_000_000
        found: Any = client.xrange(keys.readings(0), f"({after.entry_id}", count=count)
        if not found:
            return
        read = [(id_, [*itertools.chain.from_iterable(f.items())]) for id_, f in found]
        counts = Counts(hwm=after.entry_id, done_entries=after.entries, done=after.readings)
        sorted_ = sort_out(read, counts)
        if sorted_.columns is not None:
            columns = sorted_.columns[:4]
            transaction.merge(summarize(*columns, MINUTE_MS))
        done = sorted_.counts
        transaction.advance(Position(done.hwm, done.done_entries, done.done))


@pytest.mark.parametrize("seed", range(3))
def test_random_histories_have_no_differences_in_the_history(
    where: Settings,
    client: redis.Redis,
    history: Database,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
):
    random = Random(seed)
    monkeypatch.setattr(pace, "NEW_SERIES_MAX", 4)
    for part in range(3):
        grow(client, random, random.randrange(1, 15))
        folding.aggregate(where, client)
        archive(client, history, random.choice([None, 3]))
        if part == 1 and seed % 2:
            client.xtrim(keys.readings(0), maxlen=5, approximate=False)
        found = audit(client, where, history=history, values_max=random.choice([2_000, 10**6]))
        assert found.differences == [], (seed, part)
        assert found.history_entry == store.positions(history)[0].entry_id


@pytest.mark.parametrize("table", SIZES_MS)
@pytest.mark.parametrize("what", ["mean", "missing", "more"])
def test_a_corrupted_row_is_reported(
    where: Settings, client: redis.Redis, history: Database, table: str, what: str
):
    now = now_ms()
    for n in range(30):
        blocks = [Block(device, now - n * 3_600_000, {"m0": n / 7}) for device in "ab"]
        folding.append_frame(client, 0, pack(blocks), 2)
    folding.aggregate(where, client)
    archive(client, history)
    rows = schema.metadata.tables[table]
    with history.writing() as connection:
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
    found = audit(client, where, history=history)
    assert found.differences
    assert {(one.store, one.device, one.metric) for one in found.differences} == {
        (table, "a", "m0")
    }


def test_a_gap_of_the_history_is_not_a_difference(
    where: Settings, client: redis.Redis, history: Database
):
    grow(client, Random(7), 10)
    folding.aggregate(where, client)
    found: Any = client.xrevrange(keys.readings(0), count=1)
    with store.begin(history, 0) as transaction:
        transaction.note_gap(Gap(0, now_ms(), 10, 10))
        transaction.advance(Position(found[0][0].decode(), 10, 10))
    report = audit(client, where, history=history)
    assert (report.differences, report.since) == ([], None)


def test_a_history_that_changes_all_the_time_is_not_compared(
    where: Settings, client: redis.Redis, history: Database, monkeypatch: pytest.MonkeyPatch
):
    if where.history_url:
        pytest.skip("one database is enough")
    grow(client, Random(8), 3)
    folding.aggregate(where, client)
    archive(client, history)
    ids = iter(range(1000))
    monkeypatch.setattr(HistoryReader, "_position", lambda *_: f"{next(ids)}-0")
    with pytest.raises(Unavailable, match="changed 5 times"):
        audit(client, where, history=history)


def test_the_job_fails_if_there_is_a_difference(
    where: Settings, client: redis.Redis, history: Database
):
    grow(client, Random(9), 5)
    folding.aggregate(where, client)
    archive(client, history)
    wrong = msgspec.structs.replace(where, partitions=7)  # those of the data count
    assert audit_job.run(wrong, 0)["slots"] > 0
    device = client.zrange(keys.devices(0), 0, 0)[0]
    client.hdel(keys.latest(0), device)
    with pytest.raises(audit_job.DifferencesFound, match="partition 0 has"):
        audit_job.run(where, 0)


def test_each_partition_has_its_night():
    day_ms = 86_400_000
    assert [audit_job.partition_of_day(n * day_ms + 5, 3) for n in range(4)] == [0, 1, 2, 0]
