"""A process that runs jobs, one after the other, in itself.

rq's own worker forks for every job. These jobs are short and frequent, and what they import and
connect to costs more than what they do, so they share a process, as in rq's SimpleWorker. What a
fork would give is given otherwise: the watchdog renews the claim on the job, so that the death of
a worker is noticed within `CLAIM_S`, and ends the process if a job outlives its timeout.

Nothing in Redis names code: a job is looked up in the registry, and rq's callbacks, webhooks and
remote commands are off.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import time
import traceback
from collections.abc import Callable
from typing import Any

import redis
from loguru import logger
from rq.exceptions import DeserializationError
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.timeouts import JobTimeoutException
from rq.utils import now, utcformat
from rq.worker import BaseWorker

from jobs import registry, runs
from jobs.watchdog import Interrupted, Stopped, Watchdog
from tributary.errors import Misconfigured, TributaryError, Unavailable
from tributary.operate import job_queue
from tributary.settings import Settings
from tributary.store import jobs_server, keys, scripts
from tributary.store.outage import Outage
from tributary.store.redis_client import failures

CLAIM_S = 15  # a job whose worker has been silent for this long is retried
FAILURE_TTL_S = 7 * 86_400
_NICENESS = 10
_WAIT_S = 10  # for a job, until the next heartbeat
_WORKER_TTL_S = 60
_RETRY_S = 0.2  # while Redis is unavailable
_TRACEBACK_CHARS_MAX = 20_000


class RegisteredJob(Job):
    """A job with the function, the timeout and the retries of its entry in the registry."""

    unreadable = ""  # why it cannot be run
    success_callback = failure_callback = stopped_callback = None

    def restore(self, raw_data: Any) -> None:
        """Take the fields from Redis, and the rest from the registry."""
        super().restore(raw_data)
        self.origin, self.webhooks, self.failure_ttl = keys.QUEUE, [], FAILURE_TTL_S
        try:
            entry = registry.JOBS.get(str(self.func_name))
        except DeserializationError as error:
            self.unreadable, entry = f"the job is not JSON: {error.__cause__}", None
            self._instance, self._func_name, self._args, self._kwargs = None, "unreadable", [], {}
        if entry is None:
            self.timeout, self.retries_left = 1, 0
            return
        self.timeout, self.result_ttl = entry.timeout_s, entry.result_s
        self.retry_intervals = registry.back_off_s(entry.retries)
        if self.retries_left is None:
            self.retries_left = entry.retries


class Worker(BaseWorker):
    """Waits for jobs and runs them until it is stopped."""

    job_class = RegisteredJob

    def __init__(self, settings: Settings) -> None:
        """Raises `Misconfigured` if the queue would be on a Redis Cluster."""
        logging.getLogger("rq.worker").setLevel(logging.WARNING)
        timeout_s = _WAIT_S + settings.redis_timeout_ms / 1000
        client = jobs_server.connect(settings, socket_timeout=timeout_s)
        super().__init__(
            keys.QUEUE,
            f"{socket.gethostname()[:40]}-{secrets.token_hex(8)}",
            connection=client,
            worker_ttl=_WORKER_TTL_S,
            serializer=JSONSerializer,
            prepare_for_work=False,  # it would name the connection and ask for its address
        )
        self.hostname, self.pid = socket.gethostname(), os.getpid()
        self._settings = settings
        self._outage = Outage("redis")
        self._watchdog = Watchdog(self._renew)

    def run(self) -> None:
        """Run jobs until SIGTERM or SIGINT; then the current one has `GRACE_S` to finish."""
        with contextlib.suppress(Stopped):
            self._until_done(self.register_birth)
            while not self._watchdog.is_stopping:
                self._until_done(self.heartbeat)
                self._run_next()
        try:
            with failures():
                self.register_death()  # type: ignore[no-untyped-call]
        except TributaryError as error:
            log = logger.bind(action="deregister_failed", reason=str(error))
            log.warning("could not deregister")

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """How long a claim on a job lasts without being renewed, in seconds."""
        return CLAIM_S

    def _set_connection(self, connection: redis.Redis) -> redis.Redis:
        return connection  # its timeout is above that of every wait

    def _run_next(self) -> None:
        """Wait for a job and run it. Without Redis, pause instead; the job is retried later."""
        try:
            with failures():
                with self._watchdog.waiting():
                    id_: Any = self.connection.blmove(keys.QUEUED, keys.TAKEN, _WAIT_S)
                self._outage.end()
                if id_ is not None:
                    self._claim_and_run(id_.decode())
        except Unavailable as error:
            self._outage.begin(error)
            with self._watchdog.waiting():
                time.sleep(_RETRY_S)

    def _claim_and_run(self, id_: str) -> None:
        job = job_queue.fetch_as(RegisteredJob, self.connection, id_)
        if job is None:  # dropped while it waited
            self.connection.lrem(keys.TAKEN, 1, id_)
            return
        execution = self.prepare_execution(job)
        self.prepare_job_execution(job, remove_from_intermediate_queue=True)
        try:
            error, result = "", self._call(job)
        except Interrupted:
            self._until_done(lambda: self._requeue(job, execution))
            raise Stopped from None
        except Exception as failure:  # a job may raise anything
            text = "".join(traceback.format_exception(failure))
            error = text[-_TRACEBACK_CHARS_MAX:]
            log = logger.bind(action="job_failed", job=id_, retries_left=job.retries_left)
            log.bind(reason=f"{type(failure).__name__}: {failure}").error("job failed")
        job.ended_at = now()
        if error:
            retries = job.retries_left or 0
            self._until_done(lambda: self._fail(job, execution, error, retries))
        else:
            self._until_done(lambda: self._finish(job, execution, result))

    def _call(self, job: RegisteredJob) -> Any:
        """Run the function of a job; returns its result. Raises what it raises."""
        timeout_s = int(job.timeout or 0)
        name = str(job.func_name)
        log = logger.bind(action="job_run", job=job.id, name=name)
        began_at_s = time.monotonic()
        with (
            self.death_penalty_class(timeout_s, JobTimeoutException, job_id=job.id),
            self._watchdog.busy(timeout_s),
        ):
            if job.unreadable:
                raise Misconfigured(job.unreadable)
            result = registry.find(name).function(self._settings, *job.args)
            JSONSerializer.dumps(result)  # type: ignore[no-untyped-call]  # else it cannot be kept
        log.bind(took_s=round(time.monotonic() - began_at_s, 3)).debug("job finished")
        return result

    def _finish(self, job: Job, execution: Execution, result: Any) -> None:
        if not self._is_claimed(execution):
            return
        ttl_s = job.result_ttl or 0
        with self.connection.pipeline() as pipeline:
            self.cleanup_execution(job, pipeline, execution)
            pipeline.delete(job.execution_registry.key)
            runs.count(pipeline, job, "finished")
            if ttl_s:
                job._result = result  # noqa: SLF001 - as rq does
                job._handle_success(ttl_s, pipeline, self.name)  # noqa: SLF001
                job.cleanup(ttl_s, pipeline, remove_from_queue=False)
            else:
                pipeline.delete(job.key, keys.job_results(job.id))
            pipeline.execute()

    def _fail(self, job: Job, execution: Execution, error: str, retries: int) -> None:
        if not self._is_claimed(execution):
            return
        job.retries_left = retries  # rq counts down, and this may be another attempt to record it
        with self.connection.pipeline() as pipeline:
            self.cleanup_execution(job, pipeline, execution)
            pipeline.delete(job.execution_registry.key)
            runs.count(pipeline, job, "retried" if retries else "failed")
            if retries:
                job.retry(self.queues[0], pipeline)
            else:
                job.set_status(JobStatus.FAILED, pipeline)
                job._handle_failure(error, pipeline, self.name)  # noqa: SLF001 - as rq does
            pipeline.execute()

    def _requeue(self, job: Job, execution: Execution) -> None:
        """Put an interrupted job back to the head of the queue."""
        command = scripts.requeue_job(
            job.id,
            source=keys.STARTED,
            member=execution.composite_key,
            at=utcformat(now()),
            place="first",
        )
        scripts.run(self.connection, command)
        with self.connection.pipeline() as pipeline:
            self.cleanup_execution(job, pipeline, execution)
            runs.count(pipeline, job, "interrupted")
            pipeline.execute()
        logger.bind(action="job_requeued", job=job.id).info("job interrupted and queued again")

    def _is_claimed(self, execution: Execution) -> bool:
        """Whether the job is still this worker's: a claim that was not renewed has ended."""
        is_mine = self.connection.zscore(keys.STARTED, execution.composite_key) is not None
        if not is_mine:
            log = logger.bind(action="claim_lost", job=execution.job_id)
            log.warning("the job was given to another worker")
        return is_mine

    def _renew(self) -> None:
        """Renew the claim on the current job; runs in the watchdog."""
        for execution in list(self.executions.values()):
            try:
                with failures(), self.connection.pipeline() as pipeline:
                    self.heartbeat(_WORKER_TTL_S, pipeline)
                    registered = self.queues[0].started_job_registry
                    execution.heartbeat(registered, CLAIM_S, pipeline)
                    pipeline.execute()
                self._outage.end()
            except TributaryError as error:
                self._outage.begin(error)

    def _until_done(self, act: Callable[[], object]) -> None:
        """Repeat what can be repeated until Redis has done it.

        Raises:
            Stopped: this process has to stop first.
        """
        while True:
            try:
                with failures():
                    act()
                self._outage.end()
            except Unavailable as error:
                self._outage.begin(error)
                with self._watchdog.waiting():
                    time.sleep(_RETRY_S)
            else:
                return


def run(settings: Settings) -> None:
    """Run jobs until SIGTERM.

    Raises:
        Misconfigured: the queue would be on a Redis Cluster.
    """
    os.nice(_NICENESS)  # where processors are short, requests and aggregates come first
    Worker(settings).run()
