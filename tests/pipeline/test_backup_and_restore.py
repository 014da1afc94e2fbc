"""Backups of Redis and of the history, restored together from the same or different moments.

They are made by the commands of docs/operating.md, of running servers. After a restore, the
history has what it had and every reading that is still in the stream behind its position.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import redis
from support import folding
from support.histories import Value, assert_history
from support.postgres import Postgres
from support.processes import Server

from jobs import archive
from tributary.history import reads
from tributary.history.database import Database
from tributary.model.clock import utc_ms
from tributary.model.frame import Block
from tributary.operate import status
from tributary.operate.audit import Auditor, PartitionReport, history_of
from tributary.settings import Settings
from tributary.store import redis_client, scripts

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
Values = list[Value]


class Site:
    """A server and a history, which the phases of a test fill, and their backups."""

    def __init__(self, settings: Settings, folder: Path, postgres: Postgres | None) -> None:
        self._postgres = postgres
        self._folder = folder
        self._servers = 0
        self.server = Server(folder / "redis-0")
        self.settings = msgspec.structs.replace(
            settings, redis_url=self.server.url, partitions=1, heartbeat_ms=100
        )
        self.acknowledged = (0, 0)  # numbers of the last entry and reading
        self.run_id = ""

    @property
    def client(self) -> redis.Redis:
        return self.server.client

    def record(self, phase: str, entries: int = 12) -> Values:
        """Record readings, and let the aggregator and the job of the history process them."""
        redis_client.prepare(self.client, self.settings)
        self._report_tail()
        found = []
        for number in range(entries):
            values = [
                Value(device, "speed", utc_ms() - number * 7_000, number / 7 + len(device))
                for device in ("car-1", f"car-{phase}")
            ]
            blocks = [Block(v.device, v.time_ms, {v.metric: v.value}) for v in values]
            folding.append(self.client, self.settings, blocks)
            found += values
        counts = self.client.hmget("tributary:{0}:meta", "entries", "accepted")
        self.acknowledged = (int(counts[0]), int(counts[1]))
        self.process()
        return found

    def process(self) -> None:
        """Apply and archive everything."""
        folding.aggregate(self.settings, self.client)
        while not archive.run(self.settings, 0)["is_complete"]:
            pass

    def audit(self) -> PartitionReport:
        with history_of(self.settings) as history:
            return Auditor(self.client, self.settings, history=history).audit(0)

    def back_up_redis(self) -> Path:
        """Copy the append-only files of the running server."""
        self.client.config_set("auto-aof-rewrite-percentage", "0")
        to = self._folder / f"redis-backup-{utc_ms()}"
        assert self.client.info("persistence")["aof_rewrite_in_progress"] == 0
        self.client.execute_command("WAITAOF", "1", "0", "0")
        shutil.copytree(self.server.append_only_file.parent, to / "appendonlydir")
        return to

    def restore_redis(self, backup: Path | None) -> None:
        """Start a server on a backup, or on nothing, instead of the present one."""
        self.server.close()
        self._servers += 1
        folder = self._folder / f"redis-{self._servers}"
        if backup is not None:
            shutil.copytree(backup, folder)
        self.server = Server(folder)
        self.settings = msgspec.structs.replace(self.settings, redis_url=self.server.url)

    def back_up_history(self) -> Path:
        """Copy the database while it is in use."""
        to = self._folder / f"history-backup-{utc_ms()}"
        if self._postgres is not None:
            url = self.settings.history_url
            command = (PROGRAMS / "pg_dump", "--format=custom", f"--file={to}", url)
            subprocess.run(command, check=True)
        else:
            with sqlite3.connect(Path(self.settings.data_dir) / "history.db") as connection:
                connection.execute("VACUUM INTO ?", [str(to)])
            connection.close()
        return to

    def restore_history(self, backup: Path) -> None:
        """Replace the database by a backup."""
        if self._postgres is None:
            folder = Path(self.settings.data_dir)
            for path in folder.glob("history.db*"):
                path.unlink()
            shutil.copy(backup, folder / "history.db")
            return
        url = self._postgres.create()
        subprocess.run((PROGRAMS / "pg_restore", f"--dbname={url}", backup), check=True)
        self.settings = msgspec.structs.replace(self.settings, history_url=url)

    def _report_tail(self) -> None:
        """What every HTTP process does first on a server that has been started again."""
        run_id = self.client.info("server")["run_id"]
        entries, readings = self.acknowledged if self.run_id else (0, 0)
        command = scripts.report_tail(
            0, run=run_id, acknowledged_by=self.run_id, entries=entries, readings=readings
        )
        scripts.run(self.client, command)
        self.run_id = run_id


@pytest.fixture
def site(history: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    postgres = request.getfixturevalue("postgres") if history.history_url else None
    made = Site(history, tmp_path, postgres)
    yield made
    made.server.close()


@pytest.fixture
def assert_holds(open_history: Callable[..., Database]) -> Callable[[Site, Values], None]:
    """Assert that the history has exactly these readings."""
    return lambda site, values: assert_history(open_history(site.settings), values)


Holds = Callable[[Site, Values], None]


def test_backups_of_one_moment(site: Site, assert_holds: Holds):
    """What was recorded after them is lost, and counted as lost."""
    before = site.record("a")
    history, redis_ = site.back_up_history(), site.back_up_redis()
    lost = site.record("b")
    site.restore_history(history)
    site.restore_redis(redis_)
    assert_holds(site, before)
    assert site.audit().differences == []
    after = site.record("c")
    assert_holds(site, before + after)
    found = status.read(site.client, site.settings)
    assert (found.lost_at_restart, found.applied) == (len(lost), len(before + after))
    assert site.audit().differences == []


def test_a_history_older_than_redis_reads_on(site: Site, assert_holds: Holds):
    """This is the order to make backups in: first the history, then Redis."""
    values = site.record("a")
    history = site.back_up_history()
    values += site.record("b")
    redis_ = site.back_up_redis()
    site.record("c")
    site.restore_history(history)
    site.restore_redis(redis_)
    values += site.record("d")
    assert_holds(site, values)
    report = site.audit()
    assert (report.differences, report.surplus_slots) == ([], 0)


def test_a_history_too_old_for_the_stream_has_a_gap(
    site: Site, assert_holds: Holds, open_history: Callable[..., Database]
):
    values = site.record("a")
    history = site.back_up_history()
    trimmed = site.record("b")
    site.client.xtrim("tributary:{0}:readings", maxlen=0, approximate=False)
    redis_ = site.back_up_redis()
    site.restore_history(history)
    site.restore_redis(redis_)
    values += site.record("c")
    assert_holds(site, values)
    gaps = reads.gaps(open_history(site.settings), 0, 2**62, 0)
    assert [(gap.entries, gap.readings) for gap in gaps] == [(12, len(trimmed))]
    assert site.audit().differences == []


@pytest.mark.parametrize("is_reported", [True, False])
def test_a_history_newer_than_redis_keeps_what_redis_lost(
    site: Site, assert_holds: Holds, *, is_reported: bool
):
    """They were accepted and are in the history; the aggregates do not include them.

    `is_reported`: whether a process that recorded them is still there, and reports the loss.
    """
    values = site.record("a")
    redis_ = site.back_up_redis()
    only_in_history = site.record("b")
    history = site.back_up_history()
    site.record("c")
    site.restore_redis(redis_)
    site.restore_history(history)
    assert site.audit().differences == []
    if not is_reported:
        site.run_id = ""
    after = site.record("d")
    assert_holds(site, values + only_in_history + after)
    assert status.read(site.client, site.settings).applied == len(values + after)
    report = site.audit()
    assert report.differences == []
    assert (report.since is None) == (not is_reported), "a reported loss is a gap in the numbers"
    assert (report.surplus_slots > 0) == (not is_reported)


@pytest.mark.parametrize("is_reported", [True, False])
def test_a_history_without_its_redis_goes_on(site: Site, assert_holds: Holds, *, is_reported: bool):
    values = site.record("a")
    site.restore_redis(None)
    if not is_reported:
        site.run_id = ""
    after = site.record("b")
    assert_holds(site, values + after)
    assert status.read(site.client, site.settings).applied == len(after)
    report = site.audit()
    assert report.differences == []


def test_a_lost_history_begins_again_with_what_the_stream_has(
    history: Settings, site: Site, assert_holds: Holds
):
    if history.history_url:
        pytest.skip("it is the same with an empty database")
    values = site.record("a")
    shutil.rmtree(site.settings.data_dir)
    values += site.record("b")
    assert_holds(site, values)
    assert site.audit().differences == []
