"""Faults of Tributary's processes: killed, restarted, suspended, out of memory."""

from __future__ import annotations

import resource
import signal
import time

from support.pipeline import AGGREGATOR_POINTS
from support.processes import Process, stopped
from support.waiting import wait_until

from faults.rig import Rig

_MANY = 50  # from this number on, recovery is measured for every tenth only
_INGEST_POINTS = ("before_append", "after_append")
_TIMEOUT_S = 60.0
_LIMIT_BYTES, _EXIT_TIMEOUT_S = 1 << 20, 3.0
_BURSTS, _BURST_READINGS = 20, 5_000


def _wait_for_recovery_sampled(rig: Rig, number: int, times: int) -> None:
    """Measure recovery; in a long series only every tenth time, so that faults overlap."""
    if times < _MANY or number % 10 == 0:
        rig.wait_for_recovery()


def kill_aggregators(rig: Rig, times: int) -> None:
    """SIGKILL a random started aggregator, and start another."""
    for number in rig.repeat(times):
        rig.wait_for_readings(rig.random.randrange(1, 40))
        started = wait_until(lambda: _started_aggregators(rig), "two aggregators", _TIMEOUT_S)
        victim = rig.random.choice(started)
        rig.replace(victim)
        _wait_for_recovery_sampled(rig, number, times)


def _started_aggregators(rig: Rig) -> list[Process]:
    """The aggregators that have started; empty if there are fewer than two."""
    started = [each for each in rig.aggregators if "aggregator started" in each.text]
    return started if len(started) > 1 else []


def kill_at_failpoints(rig: Rig, times: int) -> None:
    """Kill a process at each failpoint, `times` times."""
    for point in AGGREGATOR_POINTS:
        for _ in rig.repeat(times):
            victim = rig.random.choice(rig.aggregators)
            last = 4 if point == "after_begin" else 20
            dying = rig.replace(victim, f"{point}:{rig.random.randint(1, last)}")
            wait_until(
                lambda dying=dying: dying.popen.poll() is not None,  # type: ignore[misc]
                f"an exit at {point}",
                _TIMEOUT_S,
            )
            assert dying.popen.poll() == -signal.SIGKILL, dying.text
            rig.replace(dying)
            rig.wait_for_recovery()
    for point in _INGEST_POINTS:
        _kill_ingest_at(rig, point, times)


def _kill_ingest_at(rig: Rig, point: str, times: int) -> None:
    rig.restart_ingest(f"{point}:{rig.random.randint(10, 40)}")
    seen: set[int] = set()

    def have_exited() -> bool:
        seen.update(rig.http_workers())
        return len(seen - set(rig.http_workers())) >= times

    wait_until(have_exited, f"{times} exits at {point}", _TIMEOUT_S * times)
    rig.restart_ingest()
    rig.wait_for_recovery()
    rig.on_progress(times)


def kill_http_workers(rig: Rig, times: int) -> None:
    """SIGKILL a random HTTP worker under load."""
    for number in rig.repeat(times):
        rig.wait_for_readings(rig.random.randrange(1, 40))
        rig.kill_http_worker()
        _wait_for_recovery_sampled(rig, number, times)
        wait_until(
            lambda: len(rig.http_workers()) >= rig.settings.ingest_workers, "a new HTTP worker"
        )


def restart_rolling(rig: Rig, times: int) -> None:
    """Restart every aggregator in turn, then the ingest role, with SIGTERM."""
    for _ in rig.repeat(times):
        for aggregator in list(rig.aggregators):
            assert aggregator.stop() == 0, aggregator.text
            rig.replace(aggregator)
            rig.wait_for_live_aggregators()
        began_s = time.monotonic()
        rig.restart_ingest()
        rig.wait_for_recovery(began_s)


def suspend_owners(rig: Rig, times: int) -> None:
    """Suspend an aggregator until others own and use its partitions, then let it continue."""
    for _ in rig.repeat(times):
        rig.wait_for_live_aggregators()
        rig.wait_for_readings(rig.random.randrange(1, 40))
        victim = rig.random.choice(rig.aggregators)
        began_s = time.monotonic()
        with stopped(victim):
            rig.wait_for_live_aggregators(len(rig.aggregators) - 1)
            rig.wait_for_recovery(began_s)


def limit_memory(rig: Rig, times: int) -> None:
    """Limit the memory of an aggregator, and let it continue with more than fits."""
    for _ in rig.repeat(times):
        victim = rig.random.choice(rig.aggregators)
        resource.prlimit(victim.pid, resource.RLIMIT_AS, (_LIMIT_BYTES, _LIMIT_BYTES))
        with rig.suspended_aggregators():
            for _ in range(_BURSTS):
                rig.burst(_BURST_READINGS)
        try:
            wait_until(lambda v=victim: v.popen.poll() is not None, "its exit", _EXIT_TIMEOUT_S)  # type: ignore[misc]
            rig.notes.append(f"exited with {victim.popen.poll()}")
        except AssertionError:
            rig.notes.append("kept running, killed")
        rig.replace(victim)
        rig.wait_for_recovery()
