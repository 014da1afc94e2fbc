"""Adds jobs to the queue by their names in the registry."""

from __future__ import annotations

from jobs import registry
from tributary.operate import job_queue
from tributary.operate.job_queue import Plain
from tributary.settings import Settings


def enqueue(settings: Settings, name: str, *arguments: Plain, id: str) -> str:  # noqa: A002
    """Queue a job of the registry, unless one with this id waits or runs.

    Raises:
        Misconfigured: the registry has no such job.
        TributaryError: as `tributary.operate.job_queue.enqueue`.
    """
    registry.find(name)
    return job_queue.enqueue(settings, name, *arguments, id=id)
