"""The file of a spool: its bounds, its lock, its mode, and what happens when it is damaged."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.waiting import wait_until

from tributary.client import SpoolError, Tributary
from tributary.client.spool_database import CORRUPT_KEPT_MAX
from tributary.client.spool_file import ROW_OVERHEAD_BYTES, SpoolFile
from tributary.errors import Misconfigured

NOBODY = Tributary("http://127.0.0.1:9")
MAX_BYTES = 64 * 1024


def bodies(count: int, first: int = 0):
    return lambda _: [b'{"seq":%d}' % number for number in range(first, first + count)]


def numbers(file: SpoolFile) -> list[int]:
    """The numbers of the readings that are delivered now."""
    found = []
    while (batch := file.take(0.0, 600.0)) is not None:
        found += [int(body[7:-1]) for body in batch.bodies]
        file.finish(batch, {}, {})
    return found


def test_beyond_max_bytes_the_oldest_are_dropped_and_counted(tmp_path: Path):
    file = SpoolFile(tmp_path / "s", MAX_BYTES)
    for first in range(0, 200_000, 1000):
        file.add(bodies(1000, first))
    counters = file.counters()
    assert counters["size_bytes"] <= MAX_BYTES
    assert counters["size_bytes"] > MAX_BYTES - 100
    assert counters["dropped/size"] + counters["waiting"] == counters["recorded"] == 200_000
    size_bytes = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert size_bytes < 2 * MAX_BYTES + (4 << 20) + (1 << 16)  # and the write-ahead log
    assert numbers(file) == [*range(200_000 - counters["waiting"], 200_000)]
    file.close()


def test_a_batch_that_may_have_been_counted_is_not_dropped_for_size(tmp_path: Path):
    file = SpoolFile(tmp_path / "s", MAX_BYTES)
    file.add(bodies(100))
    sent = file.take(0.0, 600.0)
    assert sent is not None
    file.add(bodies(3000, first=100))
    again = file.take(0.0, 600.0)
    assert again is not None
    assert (again.key, again.bodies, again.is_retry) == (sent.key, sent.bodies, True)
    assert file.counters()["dropped/size"] > 0
    file.close()


def test_readings_older_than_max_age_are_dropped_and_counted(tmp_path: Path):
    now_ms = 1_800_000_000_000
    file = SpoolFile(tmp_path / "s", MAX_BYTES, lambda: now_ms)
    file.add(bodies(3))
    unsent = file.take(0.0, 600.0)
    assert unsent is not None
    file.update(unsent, sent_s=None, lifetime_s=None)
    file.add(bodies(2, first=3))
    now_ms += 60_000
    file.add(bodies(4, first=5))
    file.drop_older(60.0)
    assert file.counters()["waiting"] == 9
    now_ms += 1
    file.drop_older(60.0)
    assert file.counters()["dropped/age"] == 5
    assert numbers(file) == [5, 6, 7, 8]
    file.close()


def test_a_batch_that_may_have_been_counted_is_dropped_by_age_only_once_it_is_set_aside(
    tmp_path: Path,
):
    now_ms = 1_800_000_000_000
    file = SpoolFile(tmp_path / "s", MAX_BYTES, lambda: now_ms)
    file.add(bodies(3))
    sent = file.take(0.0, 600.0)
    assert sent is not None
    now_ms += 3_600_000
    file.drop_older(60.0)
    assert file.counters()["waiting"] == 3
    file.set_aside(sent, {})
    assert file.counters()["uncertain"] == 3
    file.drop_older(60.0)
    counters = file.counters()
    assert (counters["uncertain"], counters["waiting"], counters["dropped/uncertain"]) == (0, 0, 3)
    assert counters["size_bytes"] == 0
    file.close()


def test_a_clock_that_went_back_drops_no_newer_reading(tmp_path: Path):
    now_ms = 1_800_000_000_000
    file = SpoolFile(tmp_path / "s", MAX_BYTES, lambda: now_ms)
    file.add(bodies(2))
    now_ms = 1000
    file.add(bodies(2, first=2))
    now_ms = 1_800_000_001_000
    file.drop_older(60.0)
    assert numbers(file) == [0, 1, 2, 3]
    file.close()


def test_the_size_is_the_same_after_a_restart(tmp_path: Path):
    file = SpoolFile(tmp_path / "s", MAX_BYTES)
    file.add(bodies(10))
    file.close()
    again = SpoolFile(tmp_path / "s", MAX_BYTES)
    assert again.counters()["size_bytes"] == 10 * (9 + ROW_OVERHEAD_BYTES)
    again.close()


def test_only_the_owner_can_read_the_files(tmp_path: Path):
    path = tmp_path / "s"
    path.touch(0o644)
    before = os.umask(0)
    try:
        with NOBODY.spool(path) as spool:
            spool.record(seq=1)
            files = [*tmp_path.iterdir()]
            assert {each.name for each in files} == {"s", "s-wal", "s-shm", "s-lock"}
            assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
    finally:
        os.umask(before)


def test_a_second_user_of_a_file_is_refused_and_pointed_to_another(tmp_path: Path):
    program = (
        "import sys\nfrom tributary.client import Tributary\n"
        "spool = Tributary('http://127.0.0.1:9').spool(sys.argv[1])\nspool.close()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "readings.spool")]
    with NOBODY.spool(tmp_path / "readings.spool"):
        with pytest.raises(Misconfigured, match=r"in use .* readings-2\.spool|readings-2\.spool"):
            NOBODY.spool(tmp_path / "readings.spool")
        other = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert "readings-2.spool" in other.stderr
    subprocess.run(command, check=True, timeout=60)


def test_a_spool_is_refused_after_a_fork(tmp_path: Path):
    with NOBODY.spool(tmp_path / "s") as spool:
        spool._pid += 1
        with pytest.raises(Misconfigured, match="after a fork; create one"):
            spool.record(seq=1)
        spool._pid -= 1


def overwrite(path: Path) -> None:
    path.write_bytes(b"\xff" * 5000)


def damage_pages(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 20_000)


def truncate(path: Path) -> None:
    os.truncate(path, 4096 + 100)


@pytest.mark.parametrize("damage", [overwrite, damage_pages, truncate])
def test_a_corrupt_file_is_moved_aside_and_counted(tmp_path: Path, damage: Callable[[Path], None]):
    path = tmp_path / "s"
    for turn in range(1, CORRUPT_KEPT_MAX + 3):
        with NOBODY.spool(path) as spool:
            assert spool.spooled.corrupt_files == (turn > 1)
            assert spool.spooled.waiting == 0
            spool.record_all({"seq": number, "note": "x" * 100} for number in range(100))
            spool.flush(0.01)
        damage(path)
    aside = [each for each in tmp_path.iterdir() if ".corrupt-" in each.name]
    assert len(aside) == CORRUPT_KEPT_MAX
    assert {stat.S_IMODE(each.stat().st_mode) for each in aside} == {0o600}


def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path):
    text, database = tmp_path / "readings.csv", tmp_path / "other.db"
    text.write_text("time,temperature\n" * 100)
    with sqlite3.connect(database) as other:
        other.execute("CREATE TABLE t (a)")
    other.close()
    for path in (text, database):
        before = path.read_bytes()
        with pytest.raises(Misconfigured, match="choose a path that no other program uses"):
            NOBODY.spool(path)
        assert path.read_bytes() == before


def test_a_spool_of_a_newer_version_is_refused_and_unchanged(tmp_path: Path):
    path = tmp_path / "s"
    file = SpoolFile(path, MAX_BYTES)
    file.add(bodies(3))
    file.close()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 2")
    with pytest.raises(Misconfigured, match="a spool of version 2, not 1; use the tributary that"):
        SpoolFile(path, MAX_BYTES)
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 1")
    file = SpoolFile(path, MAX_BYTES)
    assert numbers(file) == [0, 1, 2]
    file.close()


def test_a_directory_that_does_not_exist_is_reported(tmp_path: Path):
    with pytest.raises(Misconfigured, match="choose a writable directory"):
        NOBODY.spool(tmp_path / "missing" / "s")


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_bytes": 1000}, "max_bytes=1000 is below 65536"),
        ({"max_age_s": 0}, "max_age_s=0 is not positive"),
        ({"key_lifetime_s": -1}, "TRIBUTARY_IDEMPOTENCY_TTL_MS"),
    ],
)
def test_an_invalid_limit_is_refused(tmp_path: Path, limits: dict[str, float], message: str):
    with pytest.raises(Misconfigured, match=message):
        NOBODY.spool(tmp_path / "s", **limits)


def test_a_reading_too_large_for_a_batch_is_refused_alone(tmp_path: Path):
    with NOBODY.spool(tmp_path / "s") as spool:
        with pytest.raises(SpoolError, match="send fewer metrics"):
            spool.record(note="x" * 600_000)
        spool.record(seq=1)
        assert spool.spooled.waiting == 1


FULL_DISK = """
import resource, signal, sys
from tributary.client import SpoolError, Tributary

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
spool = Tributary(sys.argv[1]).spool(sys.argv[2])
recorded = 0
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
try:
    while True:
        spool.record(seq=recorded, note="x" * 1000)
        recorded += 1
except SpoolError as error:
    print(error)
try:
    spool.record(seq=recorded)
except SpoolError as error:
    print("again")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
spool.record(seq=recorded)
assert spool.spooled.recorded == recorded + 1, spool.spooled
assert spool.spooled.waiting == recorded + 1, spool.spooled
print("recorded after all")
"""


def test_a_full_disk_is_reported_and_loses_nothing_that_was_recorded(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, "http://127.0.0.1:9", str(tmp_path / "s")],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "free space on its disk" in done.stdout
    assert "recorded after all" in done.stdout
    assert "Traceback" not in done.stderr


def test_damage_while_it_is_open_is_reported_and_ends_no_thread(tmp_path: Path):
    spool = NOBODY.spool(tmp_path / "s")
    spool.record(seq=1)
    spool._file._database.connection.execute("DROP TABLE batch")
    for use in (lambda: spool.spooled, lambda: spool.flush(1)):
        with pytest.raises(SpoolError, match="restart the program"):
            use()
    wait_until(lambda: spool._broken, "the thread to see it")
    assert spool._thread.is_alive()
    with pytest.raises(SpoolError):
        spool.close()
    assert not spool._thread.is_alive()
