"""An export of raw files and stream has the rows of the stream before it was trimmed."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
import redis
from support import folding, forgetting
from support.archiving import advance, archived
from support.exporting import ALL, START_MS, Row, columns, exported

from jobs import compact, partition_stream
from jobs.export import work
from jobs.forget import raw_rows as forget_rows
from tributary.errors import Misconfigured, Unavailable
from tributary.history import raw_files
from tributary.history.database import Database
from tributary.history.raw_files import RawFile
from tributary.history.raw_rows import BadRawFile, RawRows
from tributary.model.export import Spec
from tributary.model.frame import Block, pack, readings_in
from tributary.operate.exports import Covered
from tributary.settings import Settings
from tributary.store import keys


@pytest.fixture
def where(change: Callable[..., Settings], tmp_path: Path) -> Settings:
    """One partition, no history yet, an empty directory of raw readings."""
    folder = str(tmp_path / "data")
    return change(partitions=1, data_dir=folder, raw_dir=str(tmp_path / "raw"))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of a few entries, and compaction of today's files like those of a day that is over."""
    monkeypatch.setattr(partition_stream, "PIECE_ENTRIES", 7)
    monkeypatch.setattr(partition_stream, "_FIRST_PAGE_ENTRIES", 5)
    monkeypatch.setattr(compact, "day_of", lambda _: "9999-12-31")


def without_raw(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, raw_dir="")


def append(client: redis.Redis, random: Random, entries: int) -> None:
    """Append readings, columns, batches and bytes that are none."""
    for _ in range(entries):
        blocks = []
        for _ in range(random.randrange(1, 4)):
            device, at = f"car-{random.randrange(5)}", START_MS + random.randrange(10**6)
            metrics = {m: random.choice([1.0, 0.1, -7e300]) for m in random.sample("abc", 2)}
            values = [random.random(), 3.0]
            is_column = random.random() < 0.3
            blocks.append(
                columns(device, [at, at + 1], a=values) if is_column else Block(device, at, metrics)  # type: ignore[arg-type]
            )
        packed = b"no frame" if random.random() < 0.05 else pack(blocks)
        folding.append_frame(client, 0, packed, readings_in(blocks))


def trim(client: redis.Redis, kept: list[bytes]) -> None:
    """Trim the entries before some."""
    only: Any = {"minid": kept[0]} if kept else {"maxlen": 0}
    client.xtrim(keys.readings(0), approximate=False, **only)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("seed", [0, 1, 20, 21])
def test_any_border_gives_the_rows_of_the_whole_stream(
    where: Settings, client: redis.Redis, seed: int
):
    random = Random(seed)
    folding.append(client, where, [Block("car-0", START_MS, {"m": 1.0})])  # the files begin here
    for _ in range(3):
        append(client, random, random.randrange(1, 15))
        if random.random() < 0.6:
            forgetting.append(client, 0, [f"car-{random.randrange(1, 5)}"])
            append(client, random, random.randrange(4))
        advance(random, where, client)
    expected, covered, _ = exported(without_raw(where))
    assert exported(where)[:2] == (expected, covered)
    entries: Any = client.xrange(keys.readings(0))
    archived_entries = int(client.hget(keys.meta(0), "archived_entries") or 0)
    for number in sorted({random.randint(0, archived_entries), archived_entries}):
        trim(client, [id_ for id_, _ in entries[number:]])
        assert exported(where)[:2] == (expected, covered), number
    spec = Spec(
        devices=("car-1", "*-2"), metrics=("a",), from_ms=START_MS, to_ms=START_MS + 500_000
    )
    assert exported(where, spec)[0] == [
        row for row in expected
        if row[0] in ("car-1", "car-2") and row[2] == "a" and row[1] < START_MS + 500_000
    ]  # fmt: skip


def readings(client: redis.Redis, settings: Settings, first: int, end: int) -> list[bytes]:
    """Apply entries of one reading, whose value is their number; their ids."""
    ids = [
        folding.append(client, settings, [Block("a", START_MS, {"m": float(n)})])
        for n in range(first, end)
    ]
    folding.aggregate(settings, client)
    return ids


def values(rows: list[Row]) -> list[float]:
    return [row[3] for row in rows]


def since(id_: bytes) -> int:
    return int(id_.split(b"-")[0])


def test_covered_begins_behind_a_gap_between_raw_files_and_stream(
    where: Settings, client: redis.Redis
):
    ids = readings(client, where, 1, 9)
    archived(where)
    ids += readings(client, where, 9, 17)
    trim(client, ids[10:])
    rows, covered, _ = exported(where)
    assert values(rows) == [*map(float, range(1, 9)), *map(float, range(11, 17))]
    assert covered == Covered(since(ids[10]), since(ids[-1]))
    archived(where)  # the history notes the gap
    trim(client, [])
    assert exported(where)[:2] == (rows, covered)
    ids += readings(client, where, 17, 19)
    trim(client, [])
    assert exported(where)[:2] == (rows, Covered(since(ids[-1]), since(ids[-1])))


def test_raw_files_that_begin_late_or_pause(where: Settings, client: redis.Redis):
    """What the files lack is in the stream, or it is a gap."""
    ids = readings(client, where, 1, 5)
    archived(without_raw(where))
    for first in (5, 9):
        ids += readings(client, where, first, first + 2)
        archived(where)
        ids += readings(client, where, first + 2, first + 4)
        archived(without_raw(where))
    everything = [*map(float, range(1, 13))]
    rows, covered, _ = exported(where)
    assert (values(rows), covered.from_ms) == (everything, None)
    compact.run(where, 0)  # hides no gap
    for trimmed, begin, lost in (
        (2, ids[2], {1, 2}),
        (4, ids[4], {1, 2, 3, 4}),
        (7, ids[7], {1, 2, 3, 4, 7}),
        (9, ids[8], {1, 2, 3, 4, 7, 8}),
        (11, ids[11], {1, 2, 3, 4, 7, 8, 11}),
    ):
        trim(client, ids[trimmed:])
        rows, covered, _ = exported(where)
        assert values(rows) == [value for value in everything if value not in lost], trimmed
        assert covered == Covered(since(begin), since(ids[-1])), trimmed


def test_files_without_rows_are_no_gap(where: Settings, client: redis.Redis):
    """All of it was forgotten or dead: of a piece, of a file, of the first and of the last one."""
    for device, count in (("b", 2), ("a", 2), ("b", 1), ("b", 1), ("a", 1), ("b", 3)):
        for number in range(count):
            block = Block(device, START_MS, {"m": float(number)})
            folding.append(client, where, [block])
        folding.aggregate(where, client)
        archived(where)
    forgetting.append(client, 0, ["b"])
    for _ in range(2):
        folding.append_frame(client, 0, b"no frame", 1)
        folding.aggregate(where, client)
        archived(where)
    folding.append(client, where, [Block("a", START_MS, {"m": 5.0})])
    folding.aggregate(where, client)
    archived(where)
    with contextlib.closing(Database.open(where, migrate=False)) as db:
        files = raw_files.listed(db, 0)
    assert [file.after_id for file in files] == ["0-0", *(file.until_id for file in files[:-1])]
    trim(client, [])
    rows, covered, _ = exported(where)
    assert (values(rows), covered.from_ms) == ([0.0, 1.0, 0.0, 5.0], None)


def _trim(settings: Settings, client: redis.Redis) -> None:
    readings(client, settings, 100, 103)
    archived(settings)
    readings(client, settings, 103, 105)
    client.xtrim(keys.readings(0), maxlen=1, approximate=False)


def _forget(settings: Settings, _client: redis.Redis) -> None:
    with contextlib.closing(Database.open(settings, migrate=False)) as db:
        assert forget_rows.erase(settings, db, 0, ["b"]) == 1


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("meanwhile", "more"),
    [
        (lambda settings, _: compact.run(settings, 0), []),
        (_forget, []),
        (_trim, [100.0, 101.0, 102.0]),
    ],
    ids=["compacted", "forgotten", "trimmed"],
)
def test_files_and_stream_change_while_they_are_read(
    where: Settings, client: redis.Redis, meanwhile: Callable[..., Any], more: list[float]
):
    for first in (1, 5, 9):
        readings(client, where, first, first + 4)
        archived(where)
    folding.append(client, where, [Block("b", START_MS, {"m": 0.0})])
    readings(client, where, 13, 15)
    archived(where)
    readings(client, where, 15, 17)
    with contextlib.closing(redis.Redis(connection_pool=client.connection_pool)) as own:
        source = work.source_of(where, own, Spec(devices=("a",)))
        pieces = source.pieces()
        found = next(pieces)[0].numbers[0].tolist()
        meanwhile(where, client)
        for rows, _ in pieces:
            found += rows.numbers[0].tolist()
        assert found == [*map(float, range(1, 17)), *more]
    assert source.covered().from_ms is None


@pytest.fixture
def files(where: Settings, client: redis.Redis) -> Iterator[list[RawFile]]:
    """Two files, which the stream has no more."""
    for first in (1, 5):
        readings(client, where, first, first + 4)
        archived(where)
    trim(client, [])
    with contextlib.closing(Database.open(where, migrate=False)) as db:
        yield raw_files.listed(db, 0)


def test_a_missing_or_damaged_file_is_an_error(where: Settings, files: list[RawFile]):
    path = Path(where.raw_dir) / files[1].path
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    with pytest.raises(BadRawFile, match="cannot be read"):
        exported(where)
    path.write_bytes((Path(where.raw_dir) / files[0].path).read_bytes())
    with contextlib.closing(Database.open(where, migrate=False)) as db, db.writing() as connection:
        changed = files[1]._replace(rows=3)
        raw_files.replace(connection, [files[1]], [changed])
    with pytest.raises(BadRawFile, match="has 4 rows instead of 3"):
        exported(where)
    path.unlink()
    with pytest.raises(BadRawFile, match="is missing; restore it") as raised:
        exported(where)
    assert files[1].path in str(raised.value)


def test_a_file_that_was_removed_from_the_list_is_a_gap(where: Settings, files: list[RawFile]):
    with contextlib.closing(Database.open(where, migrate=False)) as db, db.writing() as connection:
        raw_files.replace(connection, [files[0]], [])
    rows, covered, _ = exported(where)
    assert values(rows) == [5.0, 6.0, 7.0, 8.0]
    assert covered.from_ms == since(files[1].first_id.encode())


def test_files_that_change_all_the_time(
    where: Settings, files: list[RawFile], monkeypatch: pytest.MonkeyPatch
):
    numbers = iter(range(100))
    monkeypatch.setattr(
        RawRows, "_files_behind",
        lambda *_: [files[0]._replace(path=f"{next(numbers)}.parquet")],
    )  # fmt: skip
    with pytest.raises(Unavailable, match="change faster than they can be read"):
        exported(where)


@pytest.mark.usefixtures("files")
def test_without_pyarrow_or_a_history(where: Settings, monkeypatch: pytest.MonkeyPatch):
    for settings in (
        without_raw(where),
        msgspec.structs.replace(where, history="off"),
        msgspec.structs.replace(where, data_dir=f"{where.data_dir}/none"),
    ):
        assert exported(settings)[0] == []
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(Misconfigured, match=r"tributary\[parquet\]"):
        exported(where, ALL)
