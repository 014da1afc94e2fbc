"""The schedule: when a job is due, and which of several processes runs it."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from support.job_site import JobSite
from support.waiting import wait_until

from jobs import registry
from jobs.registry import Job
from jobs.schedule import LEASE_MS, Schedule, is_due, job_id
from tributary.errors import Misconfigured
from tributary.operate import job_queue
from tributary.settings import Settings
from tributary.store import keys

DAY_S, HOUR_MS = 86_400, 3_600_000
MIDNIGHT_MS = 20_000 * DAY_S * 1000
ACTIVE = re.compile("runs the schedule")


@pytest.mark.parametrize(
    ("every_s", "at_s", "last_ms", "now_ms", "expected"),
    [
        (5, 0, None, 0, True),
        (5, 0, 12_000, 14_999, False),
        (5, 0, 12_000, 15_000, True),
        (5, 0, 12_000, 99_000, True),  # missed periods are made up for once
        (5, 0, 15_000, 15_000, False),
        (DAY_S, 7200, None, MIDNIGHT_MS, False),  # a daily job waits for its time
        (DAY_S, 7200, MIDNIGHT_MS, MIDNIGHT_MS + 2 * HOUR_MS - 1, False),
        (DAY_S, 7200, MIDNIGHT_MS, MIDNIGHT_MS + 2 * HOUR_MS, True),
        (DAY_S, 7200, MIDNIGHT_MS + 2 * HOUR_MS, MIDNIGHT_MS + 25 * HOUR_MS, False),
        (DAY_S, 7200, MIDNIGHT_MS - HOUR_MS, MIDNIGHT_MS + 9 * HOUR_MS, True),
        # The clock was set back: a time in the future counts as now.
        (5, 0, 99_000, 12_000, False),
    ],
)
def test_a_job_is_due_once_in_each_period(
    every_s: int, at_s: int, last_ms: int | None, now_ms: int, *, expected: bool
):
    job = Job("x", print, every_s=every_s, at_s=at_s)
    assert is_due(job, last_ms, now_ms) is expected


def test_ids_are_the_name_with_the_arguments():
    assert job_id("archive", (3,)) == "archive-3"
    assert job_id("forget", ("car/7", None)) == "forget-car_7-None"


class Clock:
    """Schedules in this process, and their time; `job` is their only job."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self.client = client
        self.settings = settings
        self.now_s = 0.0

    def schedule(self, token: str) -> Schedule:
        return Schedule(self.settings, self.client, token)

    def tick(self, schedule: Schedule, seconds: float = 0.0) -> set[str]:
        """The jobs that a schedule queues after some time; they are taken away."""
        self.now_s += seconds
        schedule.tick(self.now_s)
        ids = {id_.decode() for id_ in self.client.lrange(keys.QUEUED, 0, -1)}
        job_queue.drop(self.client, sorted(ids))
        return ids


@pytest.fixture
def clock(settings: Settings, client: redis.Redis) -> Clock:
    return Clock(settings, client)


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace the jobs of the registry."""

    def replace(*jobs: Job) -> None:
        monkeypatch.setattr(registry, "JOBS", registry.table(*jobs))

    return replace


def test_of_two_schedules_one_is_active_until_it_releases_its_lease(
    clock: Clock, job: Callable[..., None]
):
    job(Job("x", print, every_s=5))
    first, second = clock.schedule("1"), clock.schedule("2")
    assert clock.tick(first) == {"x"}
    assert clock.tick(second, 5) == set()
    first.release()
    assert clock.tick(second, 2) == {"x"}
    assert clock.tick(first, 2) == set()


def test_a_schedule_that_lost_its_lease_stops(clock: Clock, job: Callable[..., None]):
    job(Job("x", print, every_s=1))
    first, second = clock.schedule("1"), clock.schedule("2")
    assert clock.tick(first) == {"x"}
    clock.client.delete(keys.SCHEDULER)  # as if it had been paused for too long
    assert clock.tick(second, LEASE_MS / 1000 + 1) == {"x"}
    assert clock.tick(first, 1) == set()
    assert clock.client.get(keys.SCHEDULER) == b"2"
    first.release()  # not its own
    assert clock.client.get(keys.SCHEDULER) == b"2"
    assert 0 < clock.client.pttl(keys.SCHEDULER) <= LEASE_MS


def test_a_schedule_without_redis_counts_as_lost_by_its_own_clock(
    clock: Clock, job: Callable[..., None]
):
    """The lease lasts from the moment before it was renewed."""
    job(Job("x", print, every_s=1))
    schedule = clock.schedule("1")
    clock.tick(schedule)
    schedule._renew_at_s = 1e9  # it cannot be renewed
    assert clock.tick(schedule, LEASE_MS / 1000) == set()


def test_the_arguments_that_are_due_become_jobs(clock: Clock, job: Callable[..., None]):
    job(Job("x", print, every_s=5, due=lambda _: [(1,), (2,)]), Job("on_request", print))
    assert clock.tick(clock.schedule("1")) == {"x-1", "x-2"}


def test_what_is_due_daily_is_remembered_by_redis(clock: Clock, job: Callable[..., None]):
    job(Job("nightly", print, every_s=DAY_S))
    first = clock.schedule("1")
    assert clock.tick(first) == set()
    clock.client.hset(keys.SCHEDULE, "nightly", 1)  # days ago
    first.release()
    second = clock.schedule("2")
    assert clock.tick(second) == {"nightly"}
    second.release()
    assert clock.tick(clock.schedule("3")) == set()


def test_a_job_whose_arguments_cannot_be_found_does_not_stop_the_others(
    clock: Clock, job: Callable[..., None]
):
    def away(_settings: Settings) -> list[tuple[int]]:
        raise Misconfigured("no database")

    job(Job("x", print, every_s=1, due=away), Job("y", print, every_s=1))
    schedule = clock.schedule("1")
    assert clock.tick(schedule) == {"y"}
    assert clock.tick(schedule, 1.0) == {"y"}


def test_the_oldest_failures_are_forgotten(
    clock: Clock, job: Callable[..., None], monkeypatch: pytest.MonkeyPatch
):
    job()
    monkeypatch.setattr("jobs.schedule.MAX_FAILED", 2)
    for number in range(4):
        job_queue.add(clock.client, "x", (), f"x-{number}")
        clock.client.lpop(keys.QUEUED)
        clock.client.hset(keys.job(f"x-{number}"), "status", "failed")
        clock.client.zadd(keys.FAILED, {f"x-{number}": 4e9 + number})
    clock.tick(clock.schedule("1"))
    assert clock.client.zrange(keys.FAILED, 0, -1) == [b"x-2", b"x-3"]
    assert not clock.client.exists(keys.job("x-0"))


def test_a_job_that_a_worker_took_and_did_not_start_is_queued_again(
    clock: Clock, job: Callable[..., None]
):
    job()
    schedule = clock.schedule("1")
    job_queue.add(clock.client, "x", (), "x")
    clock.client.lmove(keys.QUEUED, keys.TAKEN)
    assert clock.tick(schedule, 1) == set()
    assert clock.tick(schedule, 4) == set()
    assert clock.tick(schedule, 4) == set()
    assert clock.tick(schedule, 4) == {"x"}
    assert not clock.client.exists(keys.TAKEN)


def test_an_idle_schedule_sends_few_commands(clock: Clock, job: Callable[..., None]):
    """Those inside its scripts included."""
    job(Job("x", print, every_s=5, due=lambda _: []))
    schedule = clock.schedule("1")
    schedule.tick(0.0)
    before = clock.client.info("stats")["total_commands_processed"]
    for half_seconds in range(1, 121):
        schedule.tick(half_seconds / 2)
    sent = clock.client.info("stats")["total_commands_processed"] - before
    assert 0 < sent < 8 * 60


def test_another_process_takes_the_schedule_over(site: JobSite):
    first = site.start()
    first.wait_for(ACTIVE)
    (site.folder / "1").touch()
    second = site.start()
    site.wait_for("note 1", 3)
    assert not ACTIVE.search(second.text)
    first.signal(signal.SIGKILL)
    second.wait_for(ACTIVE)
    (site.folder / "2").touch()
    site.wait_for("note 2")


def test_a_process_that_stops_hands_the_schedule_over_at_once(site: JobSite, client: redis.Redis):
    first, second = site.start(), site.start()
    wait_until(lambda: ACTIVE.search(first.text + second.text), "one to be active")
    active, other = (first, second) if ACTIVE.search(first.text) else (second, first)
    assert active.stop() == 0
    other.wait_for(ACTIVE, LEASE_MS / 1000)
    assert client.zcard(keys.JOBS) == 1


def test_the_sample_jobs_are_not_in_the_registry():
    assert not {"note", "tick"} & registry.JOBS.keys()
    assert Path(registry.__file__).name == "registry.py"
