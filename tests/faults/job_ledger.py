"""The job that notes its runs, and what became of everything that the asker asked for."""

from __future__ import annotations

import contextlib
import csv
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import redis
from sqlalchemy import text
from support import sample_jobs
from support.waiting import wait_until

from faults.job_asker import AskedExport, Asker
from tributary.errors import TributaryError
from tributary.history.database import Database
from tributary.model.clock import utc_ms
from tributary.operate import exports, job_queue
from tributary.operate.forgetting import records, requests
from tributary.settings import Settings
from tributary.store import jobs_server, redis_client

_SETTLED_S, _QUEUED_S = 45.0, 240.0  # what is not done by then is lost
# Beside the jobs of the project, each process has that of the ledger.
_LEDGER_JOB = """
import sample_jobs
from jobs import registry

registry.JOBS["note"] = sample_jobs.JOBS["note"]
"""
_SUMS = (
    "SELECT s.device, sum(m.count) FROM minutes m JOIN series s ON s.id = m.series_id "
    "WHERE s.metric IN ('seq', 'gone') GROUP BY s.device"
)


class Kind(NamedTuple):
    """What became of the jobs of one kind."""

    accepted: int
    lost: int  # without their effect
    wrong: int  # with another result than once
    repeated: int = 0  # effects that happened again; of exports, jobs that were queued again


class JobLedger:
    """Compares what the jobs have done with what was asked for."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        """Prepare a folder for the processes of jobs."""
        self._folder, self._settings = folder, settings
        folder.mkdir()
        shutil.copy(sample_jobs.__file__, folder)
        (folder / "sitecustomize.py").write_text(_LEDGER_JOB)
        # Of a process of jobs that knows the job.
        self.environ = {"PYTHONPATH": str(folder), "SAMPLE_JOBS": str(folder)}

    def ran(self) -> Counter[int]:
        """How often each job of the ledger has run."""
        lines = self._folder / "lines"
        written = lines.read_text().splitlines() if lines.exists() else []
        return Counter(int(line.split()[1]) for line in written)

    def notes(self, asker: Asker) -> Kind:
        """The jobs of the ledger: those that no queue has any more, and did not run, are lost."""
        accepted = set(asker.notes)
        until(lambda: not self._is_queued("note"), _QUEUED_S)
        until(lambda: accepted <= self.ran().keys())  # one may have been on its way to a worker
        ran = self.ran()
        twice = sum(count - 1 for count in ran.values())
        return Kind(len(accepted), len(accepted - ran.keys()), 0, twice)

    def export_files(self, asker: Asker) -> Kind:
        """The exports, once those whose job is lost are queued again."""
        asked = asker.exports
        until(lambda: not self._is_queued("export"), _QUEUED_S)
        late = sum(self._state(each.id) == "queued" for each in asked)
        self._tidy()
        until(lambda: all(self._state(each.id) == "done" for each in asked))
        lost = sum(self._state(each.id) != "done" for each in asked)
        wrong = sum(self._state(each.id) == "done" and self._is_wrong(each) for each in asked)
        return Kind(len(asked), lost, wrong, late)

    def forgets(self, asker: Asker) -> Kind:
        """The devices to be forgotten; lost is one of which something is left."""
        forgotten = set(asker.forgotten)
        until(lambda: not self._unfinished() and not forgotten & self.history().keys(), _QUEUED_S)
        with self.client() as client:
            held = {name for p in self._partitions for name in requests.names(client, p)}
        left = forgotten & (held | self.history().keys())
        return Kind(len(forgotten), len(left), 0)

    def failed(self) -> list[str]:
        """The jobs that gave up."""
        return [f"{job.id}: {job.error}" for job in self._jobs() if job.state == "failed"]

    def history(self) -> Counter[str]:
        """By device, the number of readings in the history."""
        opened = contextlib.closing(Database.open(self._settings, migrate=False))
        with opened as db, db.reading() as connection:
            return Counter({name: int(count) for name, count in connection.execute(text(_SUMS))})

    @contextlib.contextmanager
    def client(self) -> Iterator[redis.Redis]:
        """A client of the deployment."""
        with contextlib.closing(redis_client.connect(self._settings)) as client:
            yield client

    @property
    def _partitions(self) -> range:
        return range(self._settings.partitions)

    def _tidy(self) -> None:
        """Queue exports again whose job is lost, as the schedule does after five minutes."""
        with self.client() as client:
            stale = exports.tidy(client, self._settings, utc_ms(), 0)
        for id_ in stale:
            exports.enqueue(self._settings, id_)

    def _jobs(self) -> list[job_queue.ListedJob]:
        with jobs_server.connected(self._settings) as client:
            return job_queue.read(client, 1_000)

    def _is_queued(self, name: str) -> bool:
        return any(job.name == name and job.state != "failed" for job in self._jobs())

    def _export(self, id_: str) -> exports.Export | None:
        with self.client() as client:
            return exports.find(client, id_, 0)

    def _state(self, id_: str) -> str:
        found = self._export(id_)
        return "" if found is None else found.state.state

    def _is_wrong(self, asked: AskedExport) -> bool:
        """Whether a reading is in the file twice, or one is not that was acknowledged before."""
        found = self._export(asked.id)
        assert found is not None
        path = exports.directory(self._settings) / found.state.file
        with path.open(newline="") as file:
            rows = [(row["device"], row["value"]) for row in csv.DictReader(file)]
        return len(rows) != len(set(rows)) or len(rows) < asked.readings

    def _unfinished(self) -> int:
        with self.client() as client:
            return len(records.read(client, self._partitions))


def until(is_done: Callable[[], object], timeout_s: float = _SETTLED_S) -> None:
    """Wait, but not for what never happens: the comparison shows it."""

    def is_done_now() -> bool:
        with contextlib.suppress(TributaryError):
            return bool(is_done())
        return False

    with contextlib.suppress(AssertionError):
        wait_until(is_done_now, "the jobs", timeout_s)
