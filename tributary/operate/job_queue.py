"""The queue of jobs: what waits, what failed, and how a job gets into it.

The queue is that of rq, with JSON instead of pickles: a job is the name of an entry of
jobs/registry.py and plain values. It is on the server at `jobs_url`, or at `redis_url`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeVar, cast

import redis
from rq.exceptions import DeserializationError, NoSuchJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.utils import now, utcformat

from tributary.errors import Unavailable
from tributary.settings import Settings
from tributary.store import jobs_server, keys, scripts
from tributary.store.redis_client import failures

MAX_QUEUED = 1_000
MAX_FAILED = 1_000  # the newest are kept
Plain = str | int | float | bool | None
State = Literal["queued", "running", "retrying", "failed"]
_ERROR_CHARS_MAX = 500
# Where jobs are, and what that means.
_PLACES: dict[str, State] = {
    keys.STARTED: "running",
    keys.QUEUED: "queued",
    keys.SCHEDULED: "retrying",
    keys.FAILED: "failed",
}


AnyJob = TypeVar("AnyJob", bound=Job)


class QueueFull(Unavailable):
    """The queue of jobs is full."""

    code = "queue_full"


class ListedJob(NamedTuple):
    """A job that waits, runs or failed."""

    id: str
    name: str
    arguments: Sequence[Plain]
    state: State
    at_ms: int  # when it was queued, UTC
    error: str  # of a failed job: the last line of its traceback


def enqueue(settings: Settings, name: str, *arguments: Plain, id: str) -> str:  # noqa: A002
    """Queue a job, unless one with this id waits or runs; one that failed is replaced.

    Args:
        settings: of the deployment.
        name: of the job in jobs/registry.py; a worker that does not know it fails the job.
        arguments: of its function.
        id: letters, digits, `-` and `_`.

    Returns:
        The id.

    Raises:
        QueueFull: `MAX_QUEUED` jobs wait.
        Misconfigured: the server is a Redis Cluster.
        TributaryError: Redis is unavailable.
    """
    with jobs_server.connected(settings) as client:
        add(client, name, arguments, id)
    return id


def add(client: redis.Redis, name: str, arguments: Sequence[Plain], id_: str) -> bool:
    """The same with a client; returns whether the job was queued by this call."""
    job = Job.create(
        name, args=list(arguments), connection=client, id=id_, origin=keys.QUEUE,
        description=name, status=JobStatus.QUEUED, serializer=JSONSerializer,
    )  # fmt: skip
    job.enqueued_at = now()
    fields = [part for pair in job.to_dict().items() for part in pair]
    texts = [part if isinstance(part, str | bytes) else str(part) for part in fields]
    with failures():
        found = scripts.run(client, scripts.enqueue_job(id_, max_queued=MAX_QUEUED, fields=texts))
    if found < 0:
        raise QueueFull(
            f"{MAX_QUEUED} jobs wait already; start `tributary jobs`, or raise "
            "TRIBUTARY_JOBS_WORKERS"
        )
    return bool(found)


def read(client: redis.Redis, limit: int) -> list[ListedJob]:
    """The jobs that run, wait or failed, at most `limit` of each.

    Raises:
        TributaryError: Redis is unavailable.
    """
    found = []
    with failures():
        for place, state in _PLACES.items():
            for id_ in _ids(client, place, limit):
                job = fetch(client, id_)
                if job is not None:
                    found.append(_listed(job, state))
    return found


def fetch(client: redis.Redis, id_: str) -> Job | None:
    """A job with all that rq keeps of it, None if there is none with this id."""
    return fetch_as(Job, client, id_)


def fetch_as(kind: type[AnyJob], client: redis.Redis, id_: str) -> AnyJob | None:
    """The same as another class of job."""
    try:
        return cast(AnyJob, kind.fetch(id_, connection=client, serializer=JSONSerializer))
    except NoSuchJobError:
        return None


def retry(client: redis.Redis, ids: Sequence[str]) -> int:
    """Queue failed jobs again, with all their retries; returns how many there were.

    Raises:
        TributaryError: Redis is unavailable.
    """
    with failures():
        return sum(
            scripts.run(
                client,
                scripts.requeue_job(id_, source=keys.FAILED, at=utcformat(now()), retries="all"),
            )
            for id_ in ids
        )


def drop(client: redis.Redis, ids: Sequence[str]) -> int:
    """Delete jobs that wait or failed; returns how many there were. One that runs is left.

    Raises:
        TributaryError: Redis is unavailable.
    """
    dropped = 0
    with failures():
        for id_ in ids:
            job = fetch(client, id_)
            if job is not None and job.get_status(refresh=False) != JobStatus.STARTED:
                job.delete()
                dropped += 1
    return dropped


def _ids(client: redis.Redis, place: str, limit: int) -> list[str]:
    found: Any
    if place == keys.QUEUED:
        found = client.lrange(place, 0, limit - 1)
    else:
        found = client.zrange(place, 0, limit - 1)
    return [member.decode().partition(":")[0] for member in found]


def _listed(job: Job, state: State) -> ListedJob:
    try:
        name, arguments = str(job.func_name), job.args
    except DeserializationError:
        name, arguments = "unreadable", []
    at = job.enqueued_at or job.created_at
    result = job.latest_result() if state == "failed" else None
    lines = (result.exc_string or "").strip().splitlines() if result else []
    error = lines[-1][:_ERROR_CHARS_MAX] if lines else ""
    return ListedJob(job.id, name, arguments, state, round(at.timestamp() * 1000), error)
