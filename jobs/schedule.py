"""Queues the jobs of the schedule, and gives jobs of dead workers to others.

Every process of jobs has one, and one of them is active: the one with the lease in Redis. It
renews the lease long before it ends, by its own monotonic clock and from the moment before it
asked; when it cannot, it stops until it gets it back. Two that are active at once would cost
nothing: the queue has a job once, and jobs are safe to repeat.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

import redis
from loguru import logger
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.utils import now, utcformat

from jobs import registry
from jobs.registry import Job
from jobs.worker import RegisteredJob
from tributary.errors import TributaryError
from tributary.operate import job_queue
from tributary.operate.job_queue import MAX_FAILED, Plain, QueueFull
from tributary.settings import Settings
from tributary.store import keys, scripts
from tributary.store.outage import Outage
from tributary.store.redis_client import failures

LEASE_MS = 5_000
_RENEW_S = 1.5
_SWEEP_S = 2.0  # retries that are due, and jobs of dead workers
_TAKEN_MAX_S = 10.0  # how long a worker may take to start a job that it has taken
_HOUR_S = 3_600


def period(at_ms: int, job: Job) -> int:
    """The number of the period of a job's schedule that a time is in."""
    assert job.every_s is not None
    return (at_ms - job.at_s * 1000) // (job.every_s * 1000)


def is_due(job: Job, last_ms: int | None, now_ms: int) -> bool:
    """Whether a period has begun since the job was last queued; if it never was, the first one.

    A time in the future, from a clock that has been set back, counts as now.
    """
    if last_ms is None:
        return (job.every_s or 0) < _HOUR_S  # a daily job waits for its time
    return period(now_ms, job) > period(min(last_ms, now_ms), job)


def job_id(name: str, arguments: Sequence[Plain]) -> str:
    """The id of a job of the schedule: one of them waits or runs at a time."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", "-".join([name, *map(str, arguments)]))


class Postponed(Exception):
    """The jobs that are due cannot be queued now."""


class Schedule:
    """The schedule of one process; call `tick` about once per second."""

    def __init__(self, settings: Settings, client: redis.Redis, token: str) -> None:
        self._settings = settings
        self._client = client  # of the server with the queue
        self._token = token
        self._held_until_s = self._renew_at_s = self._sweep_at_s = 0.0  # monotonic clock
        self._clock_ms = 0.0  # of the server, minus the monotonic clock
        self._last_ms: dict[str, int] = {}  # when a job was last queued
        self._taken_at_s: dict[str, float] = {}  # jobs that no worker has started yet
        self._outages: dict[str, Outage] = {}

    def tick(self, now_s: float) -> None:
        """Do what is due; `now_s` is the monotonic clock.

        Raises:
            TributaryError: Redis is unavailable.
        """
        with failures():
            if now_s >= self._renew_at_s:
                self._hold_lease(now_s)
            if now_s >= self._held_until_s:
                return
            self._queue_due(round(now_s * 1000 + self._clock_ms))
            if now_s >= self._sweep_at_s:
                self._sweep_at_s = now_s + _SWEEP_S
                self._sweep(now_s)

    @property
    def is_active(self) -> bool:
        """Whether this process has the lease."""
        return time.monotonic() < self._held_until_s

    def release(self) -> None:
        """Let another process take over at once.

        Raises:
            TributaryError: Redis is unavailable; the lease ends by itself.
        """
        self._held_until_s = 0.0
        with failures():
            scripts.run(self._client, scripts.release_lease(self._token))

    def _hold_lease(self, now_s: float) -> None:
        was_active = now_s < self._held_until_s
        self._renew_at_s = now_s + _RENEW_S
        is_mine, server_ms = scripts.run(
            self._client, scripts.hold_lease(self._token, lease_ms=LEASE_MS)
        )
        self._held_until_s = now_s + LEASE_MS / 1000 if is_mine else 0.0
        self._clock_ms = server_ms - now_s * 1000
        if is_mine and not was_active:
            stored: Any = self._client.hgetall(keys.SCHEDULE)
            self._last_ms = {name.decode(): int(at_ms) for name, at_ms in stored.items()}
            self._taken_at_s.clear()
            logger.bind(action="schedule_active").info("runs the schedule")
        elif was_active and not is_mine:
            logger.bind(action="schedule_lost").warning("another process runs the schedule")

    def _queue_due(self, now_ms: int) -> None:
        for job in registry.JOBS.values():
            last_ms = self._last_ms.get(job.name)
            if job.every_s is None:
                continue
            if is_due(job, last_ms, now_ms):
                with self._outage(job):
                    self._queue(job, now_ms)
            elif last_ms is None:
                self._note(job, now_ms)

    def _queue(self, job: Job, now_ms: int) -> None:
        """Queue what is due of a job.

        Raises:
            Postponed: it cannot be found out, or the queue is full; it is tried again.
        """
        try:
            wanted = list(job.due(self._settings))
        except TributaryError as error:
            raise Postponed(str(error)) from error
        for arguments in wanted:
            try:
                job_queue.add(self._client, job.name, arguments, job_id(job.name, arguments))
            except QueueFull as error:
                raise Postponed(str(error)) from error
        self._note(job, now_ms, is_stored=bool(wanted))

    def _note(self, job: Job, now_ms: int, *, is_stored: bool = True) -> None:
        """Remember when a job was queued; in Redis only if it matters after a restart."""
        self._last_ms[job.name] = now_ms
        if is_stored and (job.every_s or 0) >= _HOUR_S:
            self._client.hset(keys.SCHEDULE, job.name, str(now_ms))

    @contextlib.contextmanager
    def _outage(self, job: Job) -> Iterator[None]:
        """Log the begin and the end of the time in which a job is postponed."""
        outage = self._outages.setdefault(job.name, Outage(f"job {job.name}"))
        try:
            yield
        except Postponed as error:
            outage.begin(error)
        else:
            outage.end()

    def _sweep(self, now_s: float) -> None:
        """Queue what is due again, and forget the oldest failures."""
        at = now()
        due: Any = self._client.zrangebyscore(keys.SCHEDULED, 0, at.timestamp())
        for id_ in due:
            self._requeue(id_.decode(), keys.SCHEDULED)
        StartedJobRegistry(
            keys.QUEUE, self._client, job_class=RegisteredJob, serializer=JSONSerializer
        ).cleanup()
        self._sweep_taken(now_s)
        oldest: Any = self._client.zrange(keys.FAILED, 0, -MAX_FAILED - 1)
        self._client.zremrangebyscore(keys.FAILED, 0, at.timestamp())
        if oldest:
            job_queue.drop(self._client, [id_.decode() for id_ in oldest])

    def _sweep_taken(self, now_s: float) -> None:
        """Queue jobs that a worker took before it died, and did not start."""
        taken: Any = self._client.lrange(keys.TAKEN, 0, -1)
        ids = [id_.decode() for id_ in taken]
        self._taken_at_s = {id_: self._taken_at_s.get(id_, now_s) for id_ in ids}
        for id_, since_s in list(self._taken_at_s.items()):
            if now_s - since_s >= _TAKEN_MAX_S:
                self._requeue(id_, keys.TAKEN)
                del self._taken_at_s[id_]

    def _requeue(self, id_: str, source: str) -> None:
        command = scripts.requeue_job(id_, source=source, at=utcformat(now()))
        scripts.run(self._client, command)
