"""Counts how jobs end and how long they take, with the command that ends them."""

from __future__ import annotations

from collections import Counter

from redis.client import Pipeline
from rq.job import Job

from jobs import registry
from tributary.operate.job_runs import UNKNOWN, Outcome
from tributary.store import keys
from tributary.store.histogram import JOBS


def count(pipeline: Pipeline, job: Job, outcome: Outcome) -> None:
    """Count a run that ends now; only names of the registry become names of fields."""
    name = str(job.func_name) if str(job.func_name) in registry.JOBS else UNKNOWN
    fields = Counter([f"{name} {outcome}"])
    if job.started_at is not None and job.ended_at is not None:
        JOBS.add(fields, name, max(0.0, (job.ended_at - job.started_at).total_seconds()))
    for field, added in fields.items():
        pipeline.hincrby(keys.JOB_RUNS, field, added)
