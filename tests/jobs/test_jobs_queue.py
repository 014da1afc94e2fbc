"""What becomes of a job: real processes of `tributary jobs` on a real Redis."""

from __future__ import annotations

import json
import subprocess
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import redis
from support.job_site import JobSite
from support.processes import Process, Server
from support.waiting import wait_until

from jobs.queue import enqueue
from tributary.errors import Misconfigured, TributaryError
from tributary.operate import job_queue
from tributary.operate.job_queue import QueueFull
from tributary.operate.status.jobs import Jobs
from tributary.settings import Settings
from tributary.store import keys


def test_a_job_runs_with_its_arguments_and_its_result_is_kept(site: JobSite, client: redis.Redis):
    site.start()
    site.add("note", 1, "x", None)
    site.wait_for("note 1 x None")
    site.wait_for_state("note", None)
    job = job_queue.fetch(client, "note")
    assert job is not None
    assert job.return_value() == "4 partitions"
    assert 0 < client.ttl(keys.job("note")) <= 60


def test_a_job_without_a_lasting_result_leaves_nothing(site: JobSite, client: redis.Redis):
    site.start()
    (site.folder / "3").touch()
    site.wait_for("note 3")
    (site.folder / "3").unlink()
    wait_until(lambda: not client.exists(keys.job("tick-3")), "the job to be deleted")
    assert list(client.scan_iter("rq:*execution*")) == []
    assert site.counts() == Jobs(0, 0, 0.0)


def test_a_job_that_fails_is_retried(site: JobSite):
    process = site.start()
    site.add("fail", 1)
    site.wait_for("fail", 2)
    site.wait_for_state("fail", None)
    assert site.counts().failed == 0
    assert process.text.count("job failed") == 1


def test_a_job_that_keeps_failing_is_listed_until_it_is_retried_or_dropped(
    site: JobSite, run: Callable[..., Process]
):
    site.start()
    site.add("fail", 100)
    job = site.wait_for_state("fail", "failed")
    assert len(site.wait_for("fail")) == 3  # and two retries
    assert job is not None
    assert job.error == "ValueError: attempt 3 of 100 fails"
    assert site.counts() == Jobs(0, 1, 0.0)

    def command(*words: str) -> tuple[int, str]:
        process = run("jobs", *words, "--redis-url", site.settings.redis_url)
        return process.end(), process.text

    code, text = command("list", "--json")
    (row,) = json.loads(text)
    assert (code, row["job"], row["state"], row["arguments"]) == (0, "fail", "failed", "[100]")
    assert command("retry", "fail") == (0, "retried 1 of 1 jobs\n")
    site.wait_for("fail", 6)
    site.wait_for_state("fail", "failed")
    assert command("drop", "all", "--yes") == (0, "dropped 1 of 1 jobs\n")
    assert site.listed() == {}
    code, text = command("retry", "fail")
    assert code == 1
    assert "retried 0 of 1 jobs" in text


def test_dropping_asks_first(site: JobSite, run: Callable[..., Process]):
    site.add("note")
    words = ("jobs", "drop", "note", "--redis-url", site.settings.redis_url)
    process = run(*words, stdin=subprocess.DEVNULL)
    assert process.end() == 1
    assert "Delete 1 jobs permanently?" in process.text
    assert list(site.listed()) == ["note"]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"data": ["os.system", None, ["touch {folder}/pwned"], {}]}, "unknown job 'os.system'"),
        ({"data": ["nothing", None, [], {}]}, "did you mean note?"),
        ({"data": b"\x80\x04."}, "the job is not JSON"),
    ],
    ids=["a function", "a misspelt name", "a pickle"],
)
def test_what_is_not_in_the_registry_fails_with_the_reason(
    site: JobSite, client: redis.Redis, fields: dict[str, Any], error: str
):
    """Redis names no code: whoever can write to it cannot run more than the jobs."""
    site.add("note", id_="other")
    data = fields["data"]
    if not isinstance(data, bytes):
        data = json.dumps(data).replace("{folder}", str(site.folder)).encode()
    hostile = {
        "data": zlib.compress(data),
        "failure_callback_name": "os.getcwd",
        "success_callback_name": "os.getcwd",
        "webhooks": json.dumps([{"url": "http://127.0.0.1:1/", "job_status": "failed"}]),
    }
    client.hset(keys.job("other"), mapping=hostile)  # type: ignore[arg-type]
    process = site.start()
    job = site.wait_for_state("other", "failed")
    assert job is not None
    assert error in job.error
    assert not (site.folder / "pwned").exists()
    site.add("note")
    site.wait_for("note")  # the worker is well
    assert "webhook" not in process.text


def test_one_job_per_id_waits_or_runs(site: JobSite, client: redis.Redis):
    assert job_queue.add(client, "wait", (), "one")
    assert not job_queue.add(client, "wait", (), "one")
    site.start()
    site.wait_for("begin")
    assert not job_queue.add(client, "wait", (), "one")
    site.release()
    site.wait_for("end")
    site.wait_for_state("one", None)
    assert job_queue.add(client, "wait", (), "one")
    site.wait_for("end", 2)


def test_the_queue_is_bounded(site: JobSite, client: redis.Redis):
    client.rpush(keys.QUEUED, *range(job_queue.MAX_QUEUED))
    with pytest.raises(QueueFull, match="1000 jobs wait already"):
        site.add("note")
    assert not client.exists(keys.job("note"))


def test_a_job_ends_at_its_timeout(site: JobSite):
    site.start()
    site.add("brief")
    job = site.wait_for_state("brief", "failed")
    assert job is not None
    assert "exceeded maximum timeout value (1 seconds)" in job.error


def test_the_age_of_the_oldest_job_is_counted(site: JobSite, client: redis.Redis):
    assert site.counts() == Jobs(0, 0, 0.0)
    site.add("note", id_="first")
    site.add("note", id_="second")
    client.hset(keys.job("first"), "enqueued_at", "2026-01-01T00:00:00.000000Z")
    found = site.counts()
    assert found.queued == 2
    assert found.oldest_s > 86_400


def test_the_registry_is_asked_before_a_job_is_queued(settings: Settings):
    with pytest.raises(Misconfigured, match="unknown job 'nothing'"):
        enqueue(settings, "nothing", id="x")


def test_jobs_are_on_their_own_redis_if_there_is_one(
    own_server: Callable[..., Server], site: JobSite, client: redis.Redis
):
    own = own_server()
    site.settings = Settings(redis_url=site.settings.redis_url, jobs_url=own.url)
    site.start()
    site.add("note", 7)
    site.wait_for("note 7")
    assert not list(client.scan_iter("rq:*"))
    assert own.client.exists(keys.JOBS)


def test_an_invalid_id_is_an_error(settings: Settings):
    with pytest.raises((TributaryError, ValueError), match="letters, numbers"):
        job_queue.enqueue(settings, "note", id="a b")
