"""Which Redis jobs need: not a cluster, and which permissions; what is shown without it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import redis
from support.cluster import Cluster
from support.job_site import JobSite
from support.processes import WITH_JOBS, Process, Server
from support.programs import needed

from tributary.operate import diagnostics, status
from tributary.settings import Settings
from tributary.store import acl, redis_client

Run = Callable[..., Process]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    needed("redis-server")
    running = Cluster(tmp_path / "cluster", masters=1)
    yield running
    running.close()


def test_a_cluster_needs_another_redis_for_jobs(
    cluster: Cluster, run: Run, server: Server, tmp_path: Path
):
    alone = Settings(redis_url=cluster.url)
    process = run("jobs", "--redis-url", cluster.url)
    assert process.end() == 2
    assert "is a Redis Cluster, where jobs do not run: set TRIBUTARY_JOBS_URL" in process.text
    client = redis_client.connect(alone)
    found = status.read(client, alone)
    assert found.jobs is None
    assert any("TRIBUTARY_JOBS_URL" in warning for warning in status.warnings(found))
    both = msgspec.structs.replace(alone, jobs_url=server.url)
    site = JobSite(run, both, tmp_path)
    site.start()
    site.add("note", 1)
    site.wait_for("note 1")
    shown = status.read(client, both).jobs
    assert shown is not None
    assert shown.failed == 0
    client.close()


def test_up_on_a_cluster_names_the_setting(cluster: Cluster, run: Run, tmp_path: Path):
    options = ("--port", "0", "--redis-url", cluster.url, "--data-dir", str(tmp_path / "data"))
    process = run("up", *options, environ=WITH_JOBS)
    assert process.end() == 2
    assert "set TRIBUTARY_JOBS_URL" in process.text


def test_the_status_of_a_deployment_lasts_while_the_redis_of_jobs_is_away(
    settings: Settings, client: redis.Redis
):
    away = msgspec.structs.replace(settings, jobs_url="redis://127.0.0.1:1/0")
    found = status.read(client, away)
    assert found.jobs is None
    assert "the queue of jobs is unavailable" in status.warnings(found)[-1]


@pytest.mark.parametrize("program", ["", "redis-server"])
def test_jobs_run_with_exactly_the_listed_permissions(
    own_server: Callable[..., Server], run: Run, tmp_path: Path, program: str
):
    if program:
        needed(program)
    server = own_server(binary=program)
    site_folder = tmp_path / "site"
    site_folder.mkdir()
    rules = ("reset", "on", ">pw", *acl.rules("jobs"))
    server.client.execute_command("ACL", "SETUSER", "worker", *rules)
    url = server.url.replace("unix://", "unix://worker:pw@")
    site = JobSite(run, Settings(redis_url=url), site_folder)
    process = site.start()
    site.settings = Settings(redis_url=server.url)
    site.add("note", 1)
    site.add("fail", 100)
    site.wait_for("note 1")
    site.wait_for_state("fail", "failed")
    (site.folder / "4").touch()
    site.wait_for("note 4")
    site.wait_for_state("tick-4", None)
    assert process.stop() == 0
    assert "permission" not in process.text
    assert "outage" not in process.text
    (found,) = [
        finding
        for finding in diagnostics.run(server.client, Settings(redis_url=url), ["jobs"], "worker")
        if finding.subject == "permissions"
    ]
    assert found.grade == "ok"


@pytest.mark.parametrize(
    ("config", "grade", "text"),
    [
        ({}, "ok", "jobs are queued at"),
        ({"maxmemory_policy": "allkeys-lru"}, "error", "maxmemory-policy noeviction"),
        ({"appendonly": "no"}, "warning", "CONFIG SET appendonly yes"),
    ],
)
def test_doctor_checks_the_redis_of_jobs(
    own_server: Callable[..., Server],
    settings: Settings,
    config: dict[str, str],
    grade: str,
    text: str,
):
    own = own_server(**config)
    with_own = msgspec.structs.replace(settings, jobs_url=own.url)
    with contextlib.closing(redis_client.connect(settings)) as client:
        (found,) = [f for f in diagnostics.run(client, with_own, []) if f.subject == "jobs"]
    assert found.grade == grade
    assert text in found.text


def test_doctor_names_a_redis_of_jobs_that_does_not_reply(settings: Settings, client: redis.Redis):
    away = msgspec.structs.replace(settings, jobs_url="redis://:secret@127.0.0.1:1/0")
    (found,) = [f for f in diagnostics.run(client, away, []) if f.subject == "jobs"]
    assert found.grade == "error"
    assert "no reply from Redis" in found.text
    assert "secret" not in found.text
