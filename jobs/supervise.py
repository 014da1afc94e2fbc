"""The main process of the role: it runs the schedule, and supervises the workers."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

import msgspec
from loguru import logger

from jobs import raw_check
from jobs.schedule import Schedule
from jobs.watchdog import Stopped
from tributary.errors import Misconfigured, TributaryError
from tributary.operate import job_processes
from tributary.settings import PREFIX, Settings
from tributary.standalone.supervisor import Spec, Supervisor
from tributary.store import jobs_server
from tributary.store.outage import Outage

_TURN_S = 0.5
_HEARTBEAT_S = 2.0
STOP_S = 6.0  # a worker that has not ended by then is killed
_EXIT_MISCONFIGURED = 2
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; then the workers finish or requeue their jobs.

    Raises:
        Misconfigured: the queue would be on a Redis Cluster, a worker cannot start, or raw
            readings cannot be written.
    """
    raw_check.check(settings)
    stop = _raise_on_stop()
    with contextlib.suppress(Stopped):
        _supervise(settings, stop)
    exit_now()


def exit_now() -> NoReturn:
    """Exit with status 0, without the 0.3 s of CPU time that Python needs to unload libraries.

    `up` waits for this process, and this process for its workers.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _supervise(settings: Settings, stop: threading.Event) -> None:
    id_ = f"{socket.gethostname()[:40]}-{secrets.token_hex(8)}"
    client = jobs_server.connect(settings)
    schedule = Schedule(settings, client, id_)
    supervisor = Supervisor(term_timeout_s=STOP_S)
    outage, beat_at_s = Outage("redis"), 0.0
    try:
        for number in range(settings.jobs_workers):
            supervisor.start(_worker(settings, number))
        if settings.alert_webhooks or settings.alert_mail_to:
            supervisor.start(_child("alerts", settings, "alerts"))
        logger.bind(action="jobs_started", process=id_).info("jobs started")
        while not stop.is_set():
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
            time.sleep(_TURN_S)
    finally:
        client.connection_pool.disconnect()  # the signal may have interrupted a handshake
        with contextlib.suppress(TributaryError):
            schedule.release()
            job_processes.deregister(client, id_)
        supervisor.stop()
        logger.bind(action="jobs_stopped", process=id_).info("jobs stopped")


def _raise_on_stop() -> threading.Event:
    """Raise `Stopped` in the main thread at the first signal to stop; ignore later ones.

    The schedule may be importing a library or waiting for a database, which nothing else ends at
    once. Whatever it did is safe to repeat. The event is set, too.
    """
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        stopped.set()
        raise Stopped

    for number in _STOP_SIGNALS:
        signal.signal(number, stop)
    return stopped


def _worker(settings: Settings, number: int) -> Spec:
    return _child("work", settings, f"worker-{number}")


def _child(command: str, settings: Settings, name: str) -> Spec:
    """A process that runs a hidden command of `tributary jobs`."""
    values = msgspec.structs.asdict(settings)
    environ = {PREFIX + name.upper(): str(value) for name, value in values.items()}
    words = [sys.executable, "-P", "-m", "tributary", "jobs", command]
    return Spec(f"jobs-{name}", words, 0, environ)
