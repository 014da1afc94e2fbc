"""Faults of our own processes: killed, stopped in order, put to sleep, starved of memory."""

from __future__ import annotations

import contextlib
import resource
import signal
import time

from support.pipeline import AGGREGATOR_POINTS
from support.processes import Process, stopped
from support.waiting import wait_until

from faults.rig import Stand

_MANY = 50  # from so many on, recovery is measured for every tenth only
_INGEST_POINTS = ("before_append", "after_append")
_SOON_S = 60.0
_STARVED_BYTES, _STARVED_S = 1 << 20, 3.0
_BURSTS, _BURST_READINGS = 20, 5_000


def _recovers_in_part(stand: Stand, number: int, times: int) -> None:
    """Measure recovery, of a long series every tenth time: the others find no peace."""
    if times < _MANY or number % 10 == 0:
        stand.recovers()
    stand.on_progress(1)


def kill_aggregators(stand: Stand, times: int) -> None:
    """SIGKILL a random aggregator that is at work, and start another."""
    for number in range(times):
        stand.settle_load(stand.random.randrange(1, 40))
        at_work = wait_until(lambda: _at_work(stand), "an aggregator besides another", _SOON_S)
        victim = stand.random.choice(at_work)
        victim.kill()
        stand.replace(victim)
        _recovers_in_part(stand, number, times)


def _at_work(stand: Stand) -> list[Process]:
    """The aggregators that have started, if there are several."""
    found = [each for each in stand.aggregators if "aggregator started" in each.text]
    return found if len(found) > 1 else []


def die_at_points(stand: Stand, times: int) -> None:
    """Die at each named point of the code, so many times."""
    for point in AGGREGATOR_POINTS:
        for _ in range(times):
            victim = stand.random.choice(stand.aggregators)
            last = 4 if point == "after_begin" else 20
            dying = stand.replace(victim, f"{point}:{stand.random.randint(1, last)}")
            wait_until(
                lambda dying=dying: dying.popen.poll() is not None,  # type: ignore[misc]
                f"a death at {point}",
                _SOON_S,
            )
            assert dying.popen.poll() == -signal.SIGKILL, dying.text
            stand.replace(dying)
            stand.recovers()
            stand.on_progress(1)
    for point in _INGEST_POINTS:
        _die_in_ingest(stand, point, times)


def _die_in_ingest(stand: Stand, point: str, times: int) -> None:
    stand.restart_http(f"{point}:{stand.random.randint(10, 40)}")
    seen: set[int] = set()

    def has_died() -> bool:
        seen.update(stand.http_workers())
        return len(seen - set(stand.http_workers())) >= times

    wait_until(has_died, f"{times} deaths at {point}", _SOON_S * times)
    stand.restart_http()
    stand.recovers()
    stand.on_progress(times)


def kill_http_workers(stand: Stand, times: int) -> None:
    """SIGKILL a random HTTP worker under load."""
    for number in range(times):
        stand.settle_load(stand.random.randrange(1, 40))
        stand.kill_http_worker()
        _recovers_in_part(stand, number, times)
        wait_until(
            lambda: len(stand.http_workers()) >= stand.settings.ingest_workers, "its successor"
        )


def restart_in_order(stand: Stand, times: int) -> None:
    """SIGTERM every aggregator in turn, then the ingest role."""
    for _ in range(times):
        for aggregator in list(stand.aggregators):
            assert aggregator.stop() == 0, aggregator.text
            stand.replace(aggregator)
            wait_until(lambda: len(stand.alive()) == len(stand.aggregators), "the new one", _SOON_S)
        began_s = time.monotonic()
        stand.restart_http()
        stand.recovers(began_s)
        stand.on_progress(1)


def make_zombies(stand: Stand, times: int) -> None:
    """Put an aggregator to sleep until others own its partitions and have used them, wake it."""
    everyone = len(stand.aggregators)
    for _ in range(times):
        wait_until(lambda: len(stand.alive()) == everyone, "everyone to be alive", _SOON_S)
        stand.settle_load(stand.random.randrange(1, 40))
        victim = stand.random.choice(stand.aggregators)
        began_s = time.monotonic()
        with stopped(victim):
            wait_until(lambda: len(stand.alive()) == everyone - 1, "the sleeper to be missed")
            stand.recovers(began_s)
        stand.on_progress(1)


def starve_aggregators(stand: Stand, times: int) -> None:
    """Take the memory from an aggregator, and let it wake to more than it has room for."""
    for _ in range(times):
        victim = stand.random.choice(stand.aggregators)
        resource.prlimit(victim.pid, resource.RLIMIT_AS, (_STARVED_BYTES, _STARVED_BYTES))
        with contextlib.ExitStack() as asleep:
            for aggregator in stand.aggregators:
                asleep.enter_context(stopped(aggregator))
            for _ in range(_BURSTS):
                stand.burst(_BURST_READINGS)
        try:
            wait_until(lambda v=victim: v.popen.poll() is not None, "its end", _STARVED_S)  # type: ignore[misc]
            stand.notes.append(f"ended with {victim.popen.poll()}")
        except AssertionError:
            stand.notes.append("lived on, killed")
        stand.replace(victim)
        stand.recovers()
        stand.on_progress(1)
