"""The record of the jobs role."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tributary.operate import job_processes
from tributary.process.role import WorkerRole, on_call
from tributary.settings import Settings

if TYPE_CHECKING:
    import redis


def _is_ready(_client: redis.Redis, settings: Settings) -> bool:
    return settings.jobs_workers == 0 or bool(job_processes.alive(settings))


ROLE = WorkerRole(
    "jobs",
    description=(
        "Run the schedule and the queue of jobs until SIGTERM. Start any number: they share the "
        "queue, and one runs the schedule."
    ),
    example="tributary jobs --redis-url redis://redis:6379/0",
    run=on_call("jobs.supervise:run"),
    processes=lambda settings: min(1, settings.jobs_workers),
    is_ready=_is_ready,
    options=("jobs_url", "jobs_workers", "data_dir", "history", "history_url", "raw_dir"),
)
