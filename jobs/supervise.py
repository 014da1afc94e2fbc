"""The main process of the role: it runs the schedule, and supervises the workers."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import socket
import sys
import time

import msgspec
from loguru import logger

from jobs.schedule import Schedule
from tributary.errors import Misconfigured, TributaryError
from tributary.operate import job_processes
from tributary.settings import PREFIX, Settings
from tributary.standalone.supervisor import Spec, Supervisor
from tributary.store import jobs_server
from tributary.store.outage import Outage

_TURN_S = 0.5
_HEARTBEAT_S = 2.0
STOP_S = 10.0  # a worker that has not ended by then is killed
_EXIT_MISCONFIGURED = 2


def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; then the workers finish or requeue their jobs.

    Raises:
        Misconfigured: the queue would be on a Redis Cluster, or a worker cannot start.
    """
    stop = _stop_signals()
    id_ = f"{socket.gethostname()[:40]}-{secrets.token_hex(8)}"
    client = jobs_server.connect(settings)
    schedule = Schedule(settings, client, id_)
    supervisor = Supervisor(term_timeout_s=STOP_S)
    outage, beat_at_s = Outage("redis"), 0.0
    try:
        for number in range(settings.jobs_workers):
            supervisor.start(_worker(settings, number))
        logger.bind(action="jobs_started", process=id_).info("jobs started")
        pause_s = 0.0
        while not select.select([stop], [], [], pause_s)[0]:
            pause_s = _TURN_S
            supervisor.watch()
            if supervisor.exited_with(_EXIT_MISCONFIGURED):
                raise Misconfigured("a worker of jobs cannot start; the lines above say why")
            now_s = time.monotonic()
            try:
                if now_s >= beat_at_s and supervisor.are_running():
                    job_processes.heartbeat(client, id_)
                    beat_at_s = now_s + _HEARTBEAT_S
                schedule.tick(now_s)
                outage.end()
            except TributaryError as error:
                outage.begin(error)
    finally:
        with contextlib.suppress(TributaryError):
            schedule.release()
            job_processes.deregister(client, id_)
        supervisor.stop()
        logger.bind(action="jobs_stopped", process=id_).info("jobs stopped")


def _stop_signals() -> int:
    """A file that becomes readable with the first signal to stop."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.write(write_end, b"."))
    return read_end


def _worker(settings: Settings, number: int) -> Spec:
    values = msgspec.structs.asdict(settings)
    environ = {PREFIX + name.upper(): str(value) for name, value in values.items()}
    command = [sys.executable, "-P", "-m", "tributary", "jobs", "work"]
    return Spec(f"jobs-worker-{number}", command, 0, environ)
