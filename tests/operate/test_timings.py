"""Histograms of the deployment: freshness and commits by aggregators, durations by jobs."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import pytest
import redis
from support.job_site import JobSite
from support.pipeline import environ
from support.processes import Process, Server
from support.waiting import wait_until
from support.webs import Web

from aggregator.timings import Timings
from tributary.errors import ConnectionGone
from tributary.model.clock import utc_ms
from tributary.operate import job_runs
from tributary.settings import Settings
from tributary.store import counts, keys
from tributary.store.histogram import COMMITS, FRESHNESS, JOBS, Histogram
from tributary.store.topology import Nodes


@pytest.fixture
def site(run: Callable[..., Process], settings: Settings, tmp_path_factory: pytest.TempPathFactory):
    return JobSite(run, settings, tmp_path_factory.mktemp("site"))


def test_a_duration_is_in_the_first_bucket_that_includes_it():
    fields: Counter[str] = Counter()
    for duration_s in (0.05, 0.1, 0.10001, 1, 1.5):
        Histogram(0.1, 1).add(fields, "a", duration_s)
    assert fields == {"a le:0.1": 2, "a le:1": 2, "a le:+Inf": 1, "a us": 2_750_010}
    found = Histogram(0.1, 1).buckets("a", fields)
    assert found.counts == [("0.1", 2), ("1", 4), ("+Inf", 5)]
    assert found.sum_s == pytest.approx(2.75001)
    assert Histogram(1).buckets("b", fields).counts == [("1", 0), ("+Inf", 0)]


def test_every_entry_and_every_commit_is_counted(
    settings: Settings, client: redis.Redis, run: Callable[..., Process]
):
    web = Web(settings)
    try:
        for number in range(5):
            assert web.record({"device": f"d{number}", "a": 1}).status == 200
        waiting_since_s = time.monotonic()
        run("aggregator", environ=environ(settings))
        found = wait_until(
            lambda: (
                (fresh := FRESHNESS.buckets("freshness", counts.totals(client, keys.TIMINGS)))
                and fresh.counts[-1][1] == 5
                and fresh
            ),
            "five entries",
        )
    finally:
        web.close()
    assert 0 < found.sum_s < 5 * (time.monotonic() - waiting_since_s + 60)
    commits = COMMITS.buckets("commit", counts.totals(client, keys.TIMINGS))
    assert commits.counts[-1][1] >= 1
    assert commits.sum_s > 0
    fields = counts.totals(client, keys.TIMINGS)
    assert (
        len(fields) <= len(FRESHNESS.bounds_s) + len(COMMITS.bounds_s) + 4 == 32
    )  # docs/limits.md


def test_the_age_of_an_entry_is_by_the_clock_of_redis():
    timings = Timings()
    timings._ahead_s = 100.0
    ids = [b"%d-%d" % (utc_ms() + 80_000, number) for number in range(20)]  # 20 s old
    timings.committed(0.004, [*ids, b"%d-1" % (utc_ms() + 180_000)])
    assert timings._new["freshness le:30"] == 20
    assert timings._new["freshness le:0.0025"] == 1  # from the future: 0 s
    assert timings._new["commit le:0.005"] == 1
    assert timings._new["commit us"] == 4_000


def test_counts_survive_an_outage(own_server: Callable[..., Server]):
    server = own_server()
    timings = Timings()
    timings.committed(0.004, [b"1-0"])

    async def through_an_outage() -> None:
        nodes = Nodes(server.url, 500)
        pipe = await nodes.open(keys.TIMINGS)
        server.kill()
        with pytest.raises(ConnectionGone):
            await timings._flush(pipe)
        running = asyncio.create_task(timings.run(nodes))
        await asyncio.to_thread(server.start)
        held = lambda: counts.totals(server.client, keys.TIMINGS)  # noqa: E731
        await asyncio.to_thread(wait_until, held, "the counts", 20)
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(through_an_outage())
    assert counts.totals(server.client, keys.TIMINGS)["commit le:0.005"] == 1


def test_jobs_are_counted_by_how_they_end(site: JobSite, client: redis.Redis):
    site.start()
    site.add("note", 1)
    site.add("fail", 100)
    site.add("os.system", "true", id_="other")
    expected = {
        ("note", "finished"): 1,
        ("fail", "retried"): 2,
        ("fail", "failed"): 1,
        ("unknown", "failed"): 1,
    }
    found = wait_until(
        lambda: (
            (runs := job_runs.read(client, site.settings))
            and {key: n for key, n in runs.ended.items() if key[0] != "tick"} == expected
            and runs
        ),
        "the runs",
        20,
    )
    assert found.durations["fail"].counts[-1] == ("+Inf", 3)
    assert found.durations["note"].counts[-1] == ("+Inf", 1)
    assert len(found.durations["note"].counts) == len(JOBS.bounds_s) + 1
