"""A process of jobs that is stopped at an unlucky moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from redis._parsers.hiredis import _HiredisParser

from jobs import supervise
from jobs.schedule import Schedule
from jobs.watchdog import Stopped
from tributary.settings import Settings


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
