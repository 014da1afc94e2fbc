"""Processes of `tributary jobs` that know only the jobs of `sample_jobs.py`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support import sample_jobs
from support.pipeline import environ
from support.processes import Process
from support.waiting import wait_until
from tributary.operate import job_queue
from tributary.operate.job_queue import ListedJob
from tributary.operate.status import jobs
from tributary.operate.status.jobs import Jobs
from tributary.settings import Settings
from tributary.store import jobs_server

# In the project, jobs are lines in jobs/registry.py; here, every process has these instead.
_SITE = """
from jobs import registry
import sample_jobs

registry.JOBS.clear()
registry.JOBS.update(sample_jobs.JOBS)
registry.BACK_OFF_S = (1,)
"""
Run = Callable[..., Process]


class JobSite:
    """A folder for the jobs, and the processes that run them."""

    def __init__(self, run: Run, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self._run = run
        shutil.copy(sample_jobs.__file__, folder)
        (folder / "sitecustomize.py").write_text(_SITE)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a process that knows the jobs."""
        own = {"PYTHONPATH": str(self.folder), "SAMPLE_JOBS": str(self.folder)}
        return {**environ(self.settings), **own}

    def start(self, *arguments: str, **variables: str) -> Process:
        """Run `tributary jobs` until the end of the test."""
        return self._run("jobs", *arguments, environ={**self.environ, **variables})

    def add(self, name: str, *arguments: Any, id_: str = "") -> str:
        """Queue a job."""
        return job_queue.enqueue(self.settings, name, *arguments, id=id_ or name)

    @property
    def lines(self) -> list[str]:
        """What the jobs have written."""
        path = self.folder / "lines"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for(self, line: str, times: int = 1) -> list[str]:
        """Wait until lines that begin like this have been written; returns them."""

        def found() -> list[str] | None:
            matching = [each for each in self.lines if each.startswith(line)]
            return matching if len(matching) >= times else None

        matching = wait_until(found, f"{times} lines {line!r}")
        assert matching is not None
        return matching

    def counts(self) -> Jobs:
        """What is in the queue."""
        with jobs_server.connected(self.settings) as client:
            return jobs.count(client)

    def listed(self) -> dict[str, ListedJob]:
        """The jobs by their ids."""
        with jobs_server.connected(self.settings) as client:
            return {job.id: job for job in job_queue.read(client, 100)}

    def wait_for_state(self, id_: str, state: str | None) -> ListedJob | None:
        """Wait until a job is in a state; None: it is gone."""

        def found() -> bool:
            job = self.listed().get(id_)
            return (job.state if job else None) == state

        wait_until(found, f"job {id_} to be {state}")
        return self.listed().get(id_)

    def release(self) -> None:
        """Release the jobs that wait."""
        (self.folder / "go").touch()
