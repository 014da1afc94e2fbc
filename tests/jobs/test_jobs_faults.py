"""Jobs while processes are killed or stopped, and while Redis is away."""

from __future__ import annotations

import os
import re
import signal
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from faults import tree
from support.job_site import JobSite
from support.processes import Process, Server, free_port, tributary
from support.waiting import wait_until

from jobs.watchdog import GRACE_S
from tributary.settings import Settings
from tributary.store import keys

pytestmark = pytest.mark.kills

Run = Callable[..., Process]


def pid_of(line: str) -> int:
    return int(line.split()[1])


def is_over(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@pytest.fixture
def own(own_server: Callable[..., Server]) -> Server:
    return own_server()


@pytest.fixture
def own_site(run: Run, own: Server, tmp_path: Path) -> JobSite:
    folder = tmp_path / "site"
    folder.mkdir()
    return JobSite(run, Settings(redis_url=own.url, redis_timeout_ms=500), folder)


@pytest.mark.sample
@pytest.mark.slow
def test_a_job_whose_worker_is_killed_runs_again(site: JobSite):
    process = site.start()
    site.add("wait")
    (begin,) = site.wait_for("begin")
    os.kill(pid_of(begin), signal.SIGKILL)
    first, second = site.wait_for("begin", 2)
    assert first != second
    site.release()
    site.wait_for("end")
    site.wait_for_state("wait", None)
    assert process.text.count("child exited; restarting") == 1


@pytest.mark.slow
def test_a_job_that_kills_its_workers_fails_in_the_end(site: JobSite, client: redis.Redis):
    site.start()
    site.add("wait")
    client.hset(keys.job("wait"), "retries_left", 0)
    (begin,) = site.wait_for("begin")
    os.kill(pid_of(begin), signal.SIGKILL)
    job = site.wait_for_state("wait", "failed")
    assert job is not None
    assert "AbandonedJobError" in job.error


def test_a_job_has_time_to_finish_when_the_role_stops(site: JobSite):
    process = site.start()
    site.add("wait")
    site.wait_for("begin")
    process.signal(signal.SIGTERM)
    site.release()
    assert process.end() == 0
    assert "end" in site.lines
    assert site.listed() == {}


@pytest.mark.slow
def test_a_job_that_does_not_finish_is_interrupted_and_queued_again(site: JobSite):
    process = site.start()
    site.add("wait")
    site.add("note")
    site.wait_for("begin")
    assert process.stop() == 0
    assert "job interrupted and queued again" in process.text
    assert [job.state for job in site.listed().values()] == ["queued", "queued"]
    site.release()
    site.start()
    site.wait_for("note")
    assert site.lines.index("end") < site.lines.index("note"), "it lost its place in the queue"


@pytest.mark.sample
def test_a_job_in_a_finalizer_is_interrupted_too(site: JobSite):
    """What a handler of a signal raises there is dropped."""
    process = site.start()
    site.add("finalize")
    site.wait_for("begin")
    assert process.stop() == 0
    assert "job interrupted and queued again" in process.text
    assert [job.state for job in site.listed().values()] == ["queued"]
    assert "ERROR" not in process.text
    assert "Traceback" not in process.text


def test_workers_end_with_their_parent(run: Run, site: JobSite, tmp_path: Path):
    """A killed parent cannot signal them."""
    mark = uuid.uuid4().hex
    process = site.start("--workers", "3", **{tree.MARK: mark})
    site.add("wait")
    (begin,) = site.wait_for("begin")
    process.signal(signal.SIGKILL)
    site.release()
    wait_until(lambda: is_over(pid_of(begin)), "the worker to end", GRACE_S)
    process.end()
    assert not tree.left_behind(mark, tmp_path, free_port())
    assert "end" in site.lines


def test_redis_restarts_while_a_job_runs_and_between_jobs(own_site: JobSite, own: Server):
    process = own_site.start()
    own_site.add("wait")
    own_site.wait_for("begin")
    own.kill()
    process.wait_for(re.compile("outage began"))
    own_site.release()
    own_site.wait_for("end")
    own.start()
    own_site.wait_for_state("wait", None)
    assert own_site.lines.count("end") == 1
    own.stop()
    own.start()
    own_site.add("note")
    own_site.wait_for("note")
    assert process.popen.poll() is None
    # Each of two processes logs an outage once: the schedule's and the worker's.
    assert process.text.count("outage began") <= 4
    assert "Traceback" not in process.text
    assert "exited" not in process.text


def test_without_redis_the_role_stops_in_order(own_site: JobSite, own: Server):
    process = own_site.start()
    own_site.add("note")
    own_site.wait_for("note")
    own.kill()
    process.wait_for(re.compile("outage began"))
    assert process.stop() == 0


def test_up_runs_jobs_and_stops_them_in_order(tmp_path: Path, site: JobSite):
    mark, port = uuid.uuid4().hex, free_port()
    data_dir = tmp_path / "data"
    variables = {k: v for k, v in site.environ.items() if "REDIS_URL" not in k}
    up = tributary(
        "up", "--port", str(port), "--data-dir", str(data_dir), cwd=tmp_path,
        environ={**variables, "TRIBUTARY_DATA_DIR": str(data_dir), tree.MARK: mark},
    )  # fmt: skip
    try:
        up.wait_for(tree.READY)
        url = (data_dir / "redis.url").read_text().strip()
        site.settings = Settings(redis_url=url)
        site.add("wait")
        site.wait_for("begin")
        up.signal(signal.SIGTERM)
        site.release()
        assert up.end() == 0, up.text
    finally:
        up.kill()
    assert "end" in site.lines
    assert "exited" not in up.text
    assert "outage" not in up.text
    assert not tree.left_behind(mark, data_dir, port)
