"""Faults of the Redis server: killed, suspended, out of memory, misconfigured, scripts flushed."""

from __future__ import annotations

import time

from support.pipeline import environ
from support.processes import stopped, tributary
from support.waiting import wait_until

from faults.rig import Rig

_EXIT_MISCONFIGURED = 2


def kill_server(rig: Rig, times: int) -> None:
    """SIGKILL the server and restart it on its data."""
    for _ in rig.repeat(times):
        rig.wait_for_readings(rig.random.randrange(20, 100))
        began_s = time.monotonic()
        rig.server.kill()
        rig.server.start()
        rig.wait_for_recovery(began_s)


def suspend_server(rig: Rig, times: int) -> None:
    """SIGSTOP the server for 1, 5 or 30 seconds in turn."""
    for number in rig.repeat(times):
        seconds = (1, 5, 30)[number % 3]
        with stopped(rig.server.process):
            rig.pause(seconds)
        rig.wait_for_recovery()
        rig.notes.append(f"{seconds} s")


def fill_memory(rig: Rig, times: int) -> None:
    """Reach maxmemory: ingest must refuse readings, and pending entries must still drain.

    An aggregator is killed before, so that its replacement starts while memory is full.
    """
    for _ in rig.repeat(times):
        with rig.suspended_aggregators(first=1):
            rig.aggregators[0].kill()
            rig.wait_for_readings(100)
            rig.client.config_set("maxmemory", "1")
        rig.replace(rig.aggregators[0])
        rig.wait_for_refusal()
        wait_until(lambda: rig.status().pending == 0, "a drain while memory is full")
        rig.wait_for_live_aggregators()
        rig.client.config_set("maxmemory", "0")
        rig.wait_for_recovery()


def set_eviction_policy(rig: Rig, times: int) -> None:
    """Set an eviction policy other than noeviction: roles must refuse to start."""
    for number in rig.repeat(times):
        policy = ("allkeys-lru", "volatile-ttl", "allkeys-random")[number % 3]
        rig.client.config_set("maxmemory-policy", policy)
        for role in ("aggregator", "ingest"):
            port = ["--port", "0"] if role == "ingest" else []
            started = tributary(role, *port, environ=environ(rig.settings))
            rig.processes.append(started)
            assert started.end() == _EXIT_MISCONFIGURED, started.text
            assert "noeviction" in started.text, started.text
        rig.client.config_set("maxmemory-policy", "noeviction")
        rig.wait_for_recovery()


def flush_scripts(rig: Rig, times: int) -> None:
    """SCRIPT FLUSH under load."""
    for _ in rig.repeat(times):
        rig.wait_for_readings(rig.random.randrange(1, 40))
        rig.client.script_flush()
        rig.wait_for_recovery()
