"""An entry that crashes the process is found across restarts and buried; good entries are not."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from support import folding
from support.dying_aggregator import DEADLY
from support.pipeline import environ
from support.processes import ROOT, Process
from support.waiting import wait_until

from aggregator.attempts import Attempt, following
from aggregator.parts import ATTEMPTS
from tributary.model.frame import Block
from tributary.operate import status
from tributary.settings import Settings
from tributary.store import keys, redis_client

ME, OTHER = b"me", b"other"


def test_the_first_attempt_applies_all_entries():
    assert following(None, b"1-1", 100, ME) == (b"1-1", 100, (ME,))
    stale = Attempt(b"0-9", 1, (OTHER,))
    assert following(stale, b"1-1", 100, ME) == (b"1-1", 100, (ME,))


def test_each_crash_reduces_the_attempt_down_to_one_entry():
    attempt = following(None, b"1-1", 1000, ME)
    sizes = []
    for number in range(20):
        sizes.append((attempt.entries, attempt.number))
        if attempt.is_hopeless:
            break
        attempt = following(attempt, b"1-1", 1000, b"%d" % number)
    assert sizes == [(1000, 1), (125, 1), (15, 1), *((1, n) for n in range(1, ATTEMPTS + 2))]


@pytest.mark.parametrize("entries", [1, 40])
def test_an_attempt_does_not_count_while_its_process_is_alive(entries: int):
    for workers in ((), (ME,)):  # of a worker that is alive, nothing is left
        found = Attempt(b"1-1", entries, workers)
        assert following(found, b"1-1", 100, ME) == Attempt(b"1-1", entries, (ME,))


def test_a_process_counts_once():
    attempt = following(None, b"1-1", 1, ME)
    for worker in (OTHER, ME, OTHER, ME, OTHER, ME) * 3:
        attempt = following(attempt, b"1-1", 1, worker)
    assert attempt.number == 2
    assert not attempt.is_hopeless


def test_an_attempt_survives_packing():
    for workers in ((b"host-0f",), (b"host-0f", b"host-1f")):
        attempt = Attempt(b"17-3", 1, workers)
        assert Attempt.parse(attempt.packed()) == attempt
    assert Attempt.parse(b"17-3 1 4 host-0f") == Attempt(b"17-3", 1, (b"host-0f",))
    assert Attempt.parse(None) is None
    assert Attempt.parse(b"") is None


def dying_aggregator(settings: Settings) -> Process:
    """An aggregator that crashes on one value."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    program = Path(__file__).parents[1] / "support/dying_aggregator.py"
    variables = {**environ(settings), "PYTHONPATH": path}
    return Process([sys.executable, str(program)], variables, cwd=ROOT)


@pytest.mark.sample
@pytest.mark.kills
@pytest.mark.timeout(240)
@pytest.mark.slow
def test_a_frame_that_crashes_the_process_is_buried_after_five_attempts(
    change: Callable[..., Settings], client: redis.Redis
):
    settings = change(partitions=2, heartbeat_ms=50)
    redis_client.prepare(client, settings)
    bad = b""
    for number in range(60):
        value = DEADLY if number == 23 else float(number)
        id_ = folding.append(client, settings, [Block(f"d{number % 8}", number, {"m": value})])
        bad = id_ if value == DEADLY else bad
    deaths = itertools.count()
    process = dying_aggregator(settings)
    try:
        while folding.behind(client, settings):
            if process.popen.poll() is not None:
                assert next(deaths) < 20, process.text
                process.kill()
                process = dying_aggregator(settings)
            wait_until(
                lambda p=process: (
                    p.popen.poll() is not None or not folding.behind(client, settings)
                ),
                "an end, or that all is applied",
                60,
            )
    finally:
        process.kill()
    (buried,) = [
        fields for partition in range(2) for _, fields in client.xrange(keys.dead(partition))
    ]
    assert buried[b"id"] == bad
    assert buried[b"reason"] == b"crashed the process 5 times, each time applied alone"
    found = status.read(client, settings)
    assert (found.applied, found.dead, found.lost, found.pending) == (59, 1, 0, 0)
    assert next(deaths) >= ATTEMPTS


@pytest.mark.kills
@pytest.mark.timeout(240)
@pytest.mark.slow
def test_kills_from_outside_bury_nothing(
    change: Callable[..., Settings], client: redis.Redis, run: Callable[..., Process]
):
    settings = change(partitions=1, heartbeat_ms=50)
    redis_client.prepare(client, settings)
    for number in range(100):
        folding.append(client, settings, [Block("d", number, {"m": 1.0})])
    # Each exits at the first commit of what its predecessor read, the worst possible moment.
    for _ in range(3):
        dying = run("aggregator", environ=environ(settings, "after_fold:1"))
        wait_until(lambda dying=dying: dying.popen.poll() is not None, "it to exit", 60)
    folding.aggregate(settings, client)
    found = status.read(client, settings)
    assert (found.applied, found.dead, found.pending) == (100, 0, 0)
