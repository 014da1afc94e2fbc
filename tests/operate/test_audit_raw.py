"""The audit compares raw files with the stream, and the history with raw files before it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import redis
from operate.test_audit_differences import audit, grow, now_ms
from sqlalchemy import func, select
from support import folding, forgetting
from support.archiving import advance, archived

from aggregator import pace
from jobs import audit as audit_job
from jobs import compact, partition_stream
from jobs.forget import job as forget_job
from tributary.history import raw_files, schema
from tributary.history.database import Database
from tributary.history.raw_files import RawFile
from tributary.model.frame import Block, pack
from tributary.operate.audit.history_rows import HistoryReader
from tributary.operate.audit.raw_readings import RawReadings
from tributary.settings import Settings
from tributary.store import keys

HISTORY = {"minutes", "hours", "days"}


@pytest.fixture
def where(
    change: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """An empty history, and raw files of a few entries that are merged like those of a day."""
    monkeypatch.setattr(partition_stream, "PIECE_ENTRIES", 5)
    monkeypatch.setattr(partition_stream, "_FIRST_PAGE_ENTRIES", 5)
    monkeypatch.setattr(compact, "day_of", lambda _: "9999-12-31")
    folder = str(tmp_path / "data")
    return change(partitions=1, data_dir=folder, raw_dir=str(tmp_path / "raw"))


@pytest.fixture
def db(where: Settings, open_history: Callable[..., Database]) -> Database:
    return open_history(where)


def trim(client: redis.Redis, kept: int) -> None:
    client.xtrim(keys.readings(0), maxlen=kept, approximate=False)


@pytest.mark.parametrize("seed", range(4))
def test_random_histories_have_no_differences(
    where: Settings, client: redis.Redis, db: Database, monkeypatch: pytest.MonkeyPatch, seed: int
):
    random = Random(seed)
    monkeypatch.setattr(pace, "NEW_SERIES_MAX", 4)
    for part in range(3):
        grow(client, random, random.randrange(1, 12))
        if random.random() < 0.5:
            forgetting.append(client, 0, [f"car-{random.randrange(6)}"])
            grow(client, random, random.randrange(4))
        advance(random, where, client)
        if seed % 2:  # the entries that name a device are gone, and those of others with them
            assert forget_job.run(where)["waiting"] == 0
        if random.random() < 0.5:
            trim(client, random.randrange(8))
        found = audit(client, where, history=db, values_max=random.choice([2_000, 10**6]))
        assert found.differences == [], (seed, part)
        assert (found.surplus_rows, found.surplus_slots) == (0, 0)


def filled(settings: Settings, client: redis.Redis) -> None:
    """Two devices, a file for each five of 20 hours."""
    now = now_ms()
    for n in range(20):
        blocks = [Block(device, now - n * 3_600_000, {"m": n / 7}) for device in "ab"]
        folding.append_frame(client, 0, pack(blocks), 2)
    folding.aggregate(settings, client)
    archived(settings)


def test_both_parts_are_compared_as_a_whole(where: Settings, client: redis.Redis, db: Database):
    filled(where, client)
    whole = audit(client, where, history=db)
    assert (whole.differences, whole.raw_rows, whole.history_since) == ([], 40, None)
    trim(client, 6)
    part = audit(client, where, history=db)
    assert (part.differences, part.raw_rows, part.history_since) == ([], 12, None)
    assert part.since is not None
    trim(client, 0)
    none = audit(client, where, history=db)
    assert (none.differences, none.raw_rows) == ([], 0)
    assert none.slots >= slots_in(db) >= 2 * (20 + 20 + 1)
    assert audit(client, where, history=db, hours=1e-9).slots == 2  # the newest readings
    client.hdel(keys.rows(0), keys.series("b", "m"))
    client.hdel(keys.latest(0), "b")
    client.zrem(keys.devices(0), "b")
    gone = audit(client, where, history=db)
    assert gone.differences == []
    assert gone.slots >= slots_in(db)


def slots_in(db: Database) -> int:
    with db.reading() as connection:
        return sum(
            int(connection.scalar(select(func.count()).select_from(each.table)) or 0)
            for each in schema.RESOLUTIONS
        )


def change_first(table: Any, what: str) -> Any:
    """The rows of a file, the first of device a dropped, changed or repeated."""
    number = pc.index(table["device"], "a").as_py()
    before, row, behind = table.slice(0, number), table.slice(number, 1), table.slice(number + 1)
    entry = {**row.to_pylist()[0], "value": 12345.0}
    if what == "of no entry":
        entry["entry_id"] = f"{int(entry['entry_id'].partition('-')[0]) - 1}-0"
    other = pa.Table.from_pylist([entry], schema=table.schema)
    middle = {"dropped": [], "changed": [other]}.get(what, [row, other])
    return pa.concat_tables([before, *middle, behind])


def rewrite(settings: Settings, db: Database, file: RawFile, what: str, *, is_listed: bool) -> None:
    path = Path(settings.raw_dir) / file.path
    table = change_first(pq.read_table(path, partitioning=None), what)
    pq.write_table(table, path)
    if is_listed:
        with db.writing() as connection:
            raw_files.replace(connection, [file], [file._replace(rows=table.num_rows)])


@pytest.mark.parametrize("kept", [20, 8, 0])
@pytest.mark.parametrize("what", ["dropped", "changed", "added", "of no entry"])
def test_a_corrupted_row_is_reported(
    where: Settings, client: redis.Redis, db: Database, what: str, kept: int
):
    filled(where, client)
    trim(client, kept)
    if kept < 20:  # a restart of Redis hides no difference between raw files and history
        client.hset(keys.meta(0), "tail_entries", 20)
    rewrite(where, db, raw_files.listed(db, 0)[0 if kept == 20 else 1], what, is_listed=True)
    found = audit(client, where, history=db)
    assert {(one.device, one.metric) for one in found.differences} == {("a", "m")}
    assert {one.store for one in found.differences} == ({"raw"} if kept == 20 else HISTORY)
    if kept == 20:
        (one,) = found.differences
        assert (one.expected is None) == (what in ("added", "of no entry"))
        assert one.found == (None if what == "dropped" else 12345.0)
        entry = client.xrange(keys.readings(0), count=1)[0][0].decode()
        before = f"{int(entry.partition('-')[0]) - 1}-0"
        assert one.slot.startswith(before if what == "of no entry" else entry)


@pytest.mark.parametrize("what", ["missing", "damaged", "shorter"])
def test_a_file_that_is_not_as_listed_is_reported_once(
    where: Settings, client: redis.Redis, db: Database, what: str
):
    filled(where, client)
    trim(client, 8)
    file = raw_files.listed(db, 0)[1]
    path = Path(where.raw_dir) / file.path
    if what == "missing":
        path.unlink()
    elif what == "damaged":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        rewrite(where, db, file, "dropped", is_listed=False)
    found = audit(client, where, history=db, values_max=50)
    (one,) = found.differences
    assert (one.store, one.slot, one.expected) == ("raw", file.path, "10 rows")
    problems = {"missing": "is missing", "damaged": "cannot be", "shorter": "has 9 rows"}
    assert str(one.found).startswith(problems[what])
    with pytest.raises(audit_job.DifferencesFound):
        audit_job.run(where, 0)


def test_a_file_that_was_removed_from_the_list_is_a_gap(
    where: Settings, client: redis.Redis, db: Database
):
    filled(where, client)
    trim(client, 8)
    with db.writing() as connection:
        raw_files.replace(connection, raw_files.listed(db, 0)[1:2], [])
    found = audit(client, where, history=db)
    assert (found.differences, found.raw_rows) == ([], 16)
    assert found.history_since is not None


def _compacted(settings: Settings, _client: redis.Redis) -> None:
    compact.run(settings, 0)


def _forgotten(settings: Settings, client: redis.Redis) -> None:
    forgetting.append(client, 0, ["a"])
    _continued(settings, client)


def _continued(settings: Settings, client: redis.Redis) -> None:
    for n in range(3):
        folding.append_frame(client, 0, pack([Block("b", now_ms() - n, {"m": 5.0})]), 1)
    folding.aggregate(settings, client)
    archived(settings)
    compact.run(settings, 0)


def _trimmed(settings: Settings, client: redis.Redis) -> None:
    _continued(settings, client)
    trim(client, 2)


@pytest.mark.parametrize("kept", [20, 12])
@pytest.mark.parametrize("when", [(RawReadings, "_add"), (HistoryReader, "read")])
@pytest.mark.parametrize("meanwhile", [_compacted, _forgotten, _continued, _trimmed])
def test_no_differences_if_files_and_stream_change_meanwhile(  # noqa: PLR0913 (fixtures)
    where: Settings,
    client: redis.Redis,
    db: Database,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Callable[[Settings, redis.Redis], None],
    when: tuple[Any, str],
    kept: int,
):
    """The change is made when the first file, or the first page of the history, is read."""
    filled(where, client)
    trim(client, kept)
    real, changes = getattr(*when), [meanwhile]

    def hooked(*arguments: Any) -> Any:
        if changes:
            changes.pop()(where, client)
        return real(*arguments)

    monkeypatch.setattr(*when, hooked)
    found = audit(client, where, history=db)
    assert not changes
    assert found.differences == []
    assert audit(client, where, history=db).differences == []


def test_rows_that_redis_lost_when_it_restarted_are_no_difference(
    where: Settings, client: redis.Redis, db: Database
):
    filled(where, client)
    last: Any = client.xrevrange(keys.readings(0), count=2)
    client.xdel(keys.readings(0), last[0][0])
    before: Any = dict.fromkeys(("entries", "done_entries", "tail_entries"), 19)
    before |= dict.fromkeys(("accepted", "done", "applied", "tail"), 38)
    client.hset(keys.meta(0), mapping={"hwm": last[1][0], **before})
    found = audit(client, where, history=db)
    assert {one.store for one in found.differences} <= {"state", "windows", "latest"}
    assert found.surplus_rows == 2
