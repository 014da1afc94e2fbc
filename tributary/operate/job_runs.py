"""How often jobs have run, how they ended, and how long they took."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import redis

from tributary.operate.status import jobs
from tributary.settings import Settings
from tributary.store import counts, keys
from tributary.store.histogram import JOBS, Buckets

Outcome = Literal["finished", "retried", "failed", "interrupted"]
UNKNOWN = "unknown"  # the name of jobs that are not in the registry
_OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


class JobRuns(NamedTuple):
    """The runs of all jobs of a deployment."""

    ended: dict[tuple[str, str], int]  # by job and outcome
    durations: dict[str, Buckets]  # by job


def read(client: redis.Redis, settings: Settings) -> JobRuns:
    """The runs; none if the queue is unavailable, or missing on a Redis Cluster.

    Args:
        client: of the server or cluster with the readings.
        settings: those of the deployment.
    """
    fields = jobs.on_queue(client, settings, lambda own: counts.totals(own, keys.JOB_RUNS)) or {}
    names = sorted({field.partition(" ")[0] for field in fields})
    ended: dict[tuple[str, str], int] = {
        (name, outcome): fields[field]
        for name in names
        for outcome in _OUTCOMES
        if (field := f"{name} {outcome}") in fields
    }
    return JobRuns(ended, {name: JOBS.buckets(name, fields) for name in names})
