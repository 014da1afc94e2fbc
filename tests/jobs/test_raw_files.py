"""Raw readings: each row once, in files that others read as they lie, whatever is killed."""

from __future__ import annotations

import builtins
import signal
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.dataset
import pytest
from support import folding, forgetting
from support.histories import Value, values_of
from support.pipeline import environ
from support.processes import ROOT, Process, Server

from jobs import archive, compact, raw_check
from jobs.compact import chosen
from tributary import failpoints
from tributary.errors import Misconfigured
from tributary.history import raw_files
from tributary.history.database import Database
from tributary.history.raw_files import RawFile
from tributary.model.frame import Block, pack
from tributary.settings import Settings
from tributary.store import keys

NOW_MS = 1_795_000_000_000
DAY_MS = 86_400_000


@pytest.fixture
def one(server: Server, history: Settings, tmp_path: Path) -> Settings:
    """The server of the test, one partition, an empty history and an empty directory."""
    return msgspec.structs.replace(
        history, redis_url=server.url, partitions=1, heartbeat_ms=100,
        raw_dir=str(tmp_path / "raw"),
    )  # fmt: skip


def post(server: Server, settings: Settings, entries: int, first: int = 0) -> list[Value]:
    """Apply entries of one reading, or of a column of several devices."""
    found: list[Value] = []
    for number in range(first, first + entries):
        times = np.array([NOW_MS + number, NOW_MS - number * 1000], "<i8").tobytes()
        values = np.array([number, -number], "<f8").tobytes()
        plain = Block(f"d{number % 3}", NOW_MS + number, {"m": float(number), "k": 0.5})
        column = Block(["d0", "d1"], times, {"m": values})  # type: ignore[arg-type]
        blocks = [plain, column] if number % 2 else [plain]
        folding.append_packed(server.client, 0, pack(blocks), 3 if number % 2 else 1)
        found += values_of(pack(blocks))
    folding.aggregate(settings, server.client)
    return found


def rows(settings: Settings) -> Counter[Value]:
    """What pyarrow finds in the directory."""
    dataset: Any = pyarrow.dataset.dataset(settings.raw_dir, partitioning="hive")
    table = dataset.to_table()
    times = table["recorded_at"].cast("int64").to_pylist()
    columns = [table[name].to_pylist() for name in ("device", "metric", "value")]
    return Counter(
        Value(device, metric, time_ms, value)
        for device, metric, value, time_ms in zip(*columns, times, strict=True)
    )


def listed(settings: Settings) -> list[RawFile]:
    db = Database.open(settings, migrate=False)
    try:
        found = raw_files.listed(db, 0)
    finally:
        db.close()
    there = {
        str(path.relative_to(settings.raw_dir))
        for path in Path(settings.raw_dir).rglob("*.parquet")
    }
    assert there == {file.path for file in found}
    return found


def test_files_are_readable_as_they_lie(server: Server, one: Settings):
    values = post(server, one, 40)
    archive.run(one, 0)
    values += post(server, one, 7, first=40)
    archive.run(one, 0)
    assert rows(one) == Counter(values)
    first, second = listed(one)
    entry_id = server.client.xrange(keys.readings(0))[40][0].decode()
    day = datetime.fromtimestamp(int(entry_id.split("-")[0]) / 1000, UTC).strftime("%Y-%m-%d")
    assert second.path == f"day={day}/partition=0/{entry_id}.parquet"
    assert first.rows + second.rows == len(values)
    table: Any = pyarrow.dataset.dataset(one.raw_dir, partitioning="hive").to_table()
    assert table.column_names == [
        "device", "metric", "recorded_at", "value", "entry_id", "day", "partition"
    ]  # fmt: skip
    assert str(table.schema.field("recorded_at").type) == "timestamp[ms, tz=UTC]"
    ids = [id_.decode() for id_, _ in server.client.xrange(keys.readings(0))]
    assert sorted(set(table["entry_id"].to_pylist())) == sorted(ids)


_JOB = """
import sys
from jobs import archive, compact
from tributary import failpoints, settings
loaded = settings.load()
failpoints.arm(loaded.fail)
{"archive": archive, "compact": compact}[sys.argv[1]].run(loaded, 0)
"""


def killed(settings: Settings, job: str, point: str) -> None:
    process = Process([sys.executable, "-c", _JOB, job], environ(settings, point), cwd=ROOT)
    assert process.end() == -signal.SIGKILL, process.text


@pytest.mark.kills
@pytest.mark.parametrize(
    "point", [p for p in failpoints.POINTS if "archive" in p or p == "after_raw_file"]
)
def test_a_killed_archive_leaves_no_row_twice(server: Server, one: Settings, point: str):
    values = post(server, one, 20)
    killed(one, "archive", point)
    values += post(server, one, 5, first=20)  # the next piece begins with the same entry
    archive.run(one, 0)
    assert rows(one) == Counter(values)
    listed(one)


def test_an_orphan_is_removed_when_its_entries_were_trimmed(server: Server, one: Settings):
    post(server, one, 20)
    killed(one, "archive", "after_raw_file")
    server.client.xtrim(keys.readings(0), maxlen=0, approximate=False)
    values = post(server, one, 5, first=20)
    assert archive.run(one, 0)["gaps"] == 1
    assert rows(one) == Counter(values)
    listed(one)


@pytest.fixture
def tomorrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The day of every entry is over."""
    monkeypatch.setattr(compact, "day_of", lambda _: "9999-12-31")


@pytest.mark.usefixtures("tomorrow")
def test_a_day_becomes_one_file(server: Server, one: Settings):
    values = []
    for number in range(4):
        values += post(server, one, 10, first=10 * number)
        archive.run(one, 0)
    assert compact.run(one, 0) == {"files": 4, "removed": 0}
    (file,) = listed(one)
    assert file.rows == len(values)
    assert rows(one) == Counter(values)
    assert compact.run(one, 0) == {"files": 0, "removed": 0}


@pytest.mark.kills
@pytest.mark.usefixtures("tomorrow")
@pytest.mark.parametrize(
    "point", ["after_raw_file", "before_compact_commit", "after_compact_commit"]
)
def test_a_killed_compaction_loses_and_doubles_no_row(server: Server, one: Settings, point: str):
    small = msgspec.structs.replace(one)
    values = []
    for number in range(3):
        values += post(server, small, 10, first=10 * number)
        archive.run(small, 0)
    source = _JOB.replace("loaded = ", 'compact.day_of = lambda _: "9999-12-31"\nloaded = ')
    process = Process([sys.executable, "-c", source, "compact"], environ(small, point), cwd=ROOT)
    assert process.end() == -signal.SIGKILL, process.text
    done = compact.run(small, 0)
    assert done["removed"] == (3 if point == "after_compact_commit" else 0) or done["files"] == 3
    assert rows(small) == Counter(values)
    assert len(listed(small)) == 1


def test_a_forgotten_device_is_in_no_file(server: Server, one: Settings):
    values = post(server, one, 10)
    archive.run(one, 0)
    values += post(server, one, 10, first=10)
    forgetting.append(server.client, 0, ["d0"])
    later = post(server, one, 10, first=20)
    archive.run(one, 0)
    kept = [value for value in values if value.device != "d0"]
    assert rows(one) == Counter([*kept, *later])
    listed(one)


def test_only_days_that_are_over_and_many_small_files_are_merged():
    def file(day: str, number: int, size_bytes: int) -> RawFile:
        first, last, before = f"{number}-0", f"{number}-1", f"{number - 1}-1"
        return RawFile(f"{day}/{number}", 0, day, first, last, 1, size_bytes, before, last)

    over = [file("2026-01-01", n, compact.SMALL_BYTES) for n in range(2)]
    single = [file("2026-01-02", 5, 1)]
    large = [file("2026-01-03", 6, compact.SMALL_BYTES)]
    small = [file("2026-01-03", n, 1) for n in range(10, 10 + compact.MANY_FILES)]
    assert chosen([*over, *single, *large, *small], "2026-01-03") == [over, small]
    assert chosen([*over, *single, *large, *small[1:]], "2026-01-03") == [over]
    between = [*small[:9], small[9]._replace(size_bytes=compact.SMALL_BYTES), *small[10:]]
    assert chosen(between, "2026-01-03") == []
    # Between 3 and 6 there are entries that no file has.
    apart = [file("2026-01-01", n, 1) for n in (1, 2, 3, 6, 7)]
    assert chosen(apart, "2026-01-03") == [apart[:3], apart[3:]]


def test_a_missing_pyarrow_is_an_error_at_start(one: Settings, monkeypatch: pytest.MonkeyPatch):
    real = builtins.__import__

    def without_pyarrow(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_pyarrow)
    with pytest.raises(Misconfigured, match=r"tributary\[parquet\]"):
        raw_check.check(one)
    raw_check.check(msgspec.structs.replace(one, raw_dir=""))
    monkeypatch.undo()
    file = Path(one.data_dir).parent / "file"
    file.write_text("")
    with pytest.raises(Misconfigured, match="make it writable"):
        raw_check.check(msgspec.structs.replace(one, raw_dir=str(file / "raw")))
