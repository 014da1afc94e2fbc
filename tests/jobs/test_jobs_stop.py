"""A process of jobs that is stopped at an unlucky moment."""

from __future__ import annotations

import re
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from redis._parsers.hiredis import _HiredisParser
from support.processes import Process

from jobs import supervise
from jobs.schedule import Schedule
from jobs.watchdog import Stopped
from tributary.settings import Settings

_WAITING = """
import threading
from jobs.watchdog import Stopped, Watchdog

class Finalized:
    def __del__(self):
        print("begun", flush=True)
        threading.Event().wait(60)

try:
    with Watchdog(lambda: None).waiting():
        Finalized()
        threading.Event().wait(60)
except Stopped:
    print("stopped", flush=True)
"""


def test_a_signal_in_a_finalizer_ends_the_wait_for_a_job():
    """Python drops what is raised there; without another signal the wait goes on for a minute."""
    process = Process([sys.executable, "-c", _WAITING])
    process.wait_for(re.compile("begun"))
    process.signal(signal.SIGTERM)
    assert process.end(20) == 0
    assert process.text.split() == ["begun", "stopped"]


def test_a_signal_during_a_handshake_with_redis_is_an_orderly_stop(
    change: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
):
    """redis-py keeps the half-open connection, and its next use would be an AttributeError."""
    is_armed = False
    handshake = _HiredisParser.on_connect

    def on_connect(parser: Any, connection: Any) -> None:
        nonlocal is_armed
        if is_armed:
            is_armed = False
            raise Stopped
        handshake(parser, connection)

    def tick(schedule: Schedule, now_s: float) -> None:
        nonlocal is_armed
        is_armed = True
        schedule._client.connection_pool.reset()  # the next command makes a connection
        schedule._client.ping()

    monkeypatch.setattr(_HiredisParser, "on_connect", on_connect)
    monkeypatch.setattr(Schedule, "tick", tick)
    with pytest.raises(Stopped):
        supervise._supervise(change(jobs_workers=0), threading.Event())
