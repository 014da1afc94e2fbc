"""Faults of the server: killed, put to sleep, full, forgetful, wrongly set up."""

from __future__ import annotations

import contextlib
import time

from support.pipeline import environ
from support.processes import stopped, tributary
from support.waiting import wait_until

from faults.rig import Stand

_REFUSED_AT_START = 2


def kill_server(stand: Stand, times: int) -> None:
    """SIGKILL the server and start it again on its data."""
    for _ in range(times):
        stand.settle_load(stand.random.randrange(20, 100))
        began_s = time.monotonic()
        stand.server.kill()
        stand.server.start()
        stand.recovers(began_s)
        stand.on_progress(1)


def suspend_server(stand: Stand, times: int) -> None:
    """SIGSTOP the server for 1, 5, 30 seconds in turn."""
    for number in range(times):
        seconds = (1, 5, 30)[number % 3]
        with stopped(stand.server.process):
            stand.wait(seconds)
        stand.recovers()
        stand.notes.append(f"{seconds} s")
        stand.on_progress(1)


def fill_memory(stand: Stand, times: int) -> None:
    """Let the server reach maxmemory: ingest must refuse, what is pending must drain.

    An aggregator dies meanwhile: the one that comes after it must drain, too.
    """
    for _ in range(times):
        refused = stand.load.ledger.answers["503"]
        with contextlib.ExitStack() as asleep:
            for aggregator in stand.aggregators[1:]:
                asleep.enter_context(stopped(aggregator))
            stand.aggregators[0].kill()
            stand.settle_load(100)
            stand.client.config_set("maxmemory", "1")
        stand.replace(stand.aggregators[0])
        wait_until(lambda r=refused: stand.load.ledger.answers["503"] > r, "a 503")  # type: ignore[misc]
        wait_until(lambda: stand.status().pending == 0, "the backlog to drain while it is full")
        wait_until(lambda: len(stand.alive()) == len(stand.aggregators), "the new one")
        stand.client.config_set("maxmemory", "0")
        stand.recovers()
        stand.on_progress(1)


def evict(stand: Stand, times: int) -> None:
    """Set a policy that evicts: a role that starts then must refuse to."""
    for number in range(times):
        policy = ("allkeys-lru", "volatile-ttl", "allkeys-random")[number % 3]
        stand.client.config_set("maxmemory-policy", policy)
        for role in ("aggregator", "ingest"):
            port = ["--port", "0"] if role == "ingest" else []
            started = tributary(role, *port, environ=environ(stand.settings))
            stand.processes.append(started)
            assert started.end() == _REFUSED_AT_START, started.text
            assert "noeviction" in started.text, started.text
        stand.client.config_set("maxmemory-policy", "noeviction")
        stand.recovers()
        stand.on_progress(1)


def flush_scripts(stand: Stand, times: int) -> None:
    """SCRIPT FLUSH under load."""
    for _ in range(times):
        stand.settle_load(stand.random.randrange(1, 40))
        stand.client.script_flush()
        stand.recovers()
        stand.on_progress(1)
