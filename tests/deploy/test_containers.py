"""The images are built and the services run, as far as plain processes can tell."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from support.processes import stopped
from support.waiting import wait_until

from deploy.containers import Stack
from deploy.image import Image
from tributary.store import keys

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def files(root: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of every file, scratch space apart."""
    found = (path for path in root.rglob("*") if root / "tmp" not in (path, *path.parents))
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in found}


def test_a_reading_that_ingest_records_is_collected_from_api(stack: Stack):
    sent = {"device": "car-8", "engine_temperature": 92.5}
    assert stack.ask("ingest", "POST", "/record", sent) == (200, {"success": True})

    def answer() -> dict | None:
        status, body = stack.ask("api", "GET", "/collect?device=car-8")
        return body if status == 200 else None

    collected = wait_until(answer, "the reading to be applied")
    assert collected["current_engine_temperature"] == 92.5


def test_the_partitions_are_shared_by_the_replicas(stack: Stack):
    with stack.client() as client:
        assert client.zcard(keys.WORKERS) == len(stack.aggregators) == 2


def test_nothing_is_written_where_the_image_is(own_stack: Stack, images: dict[str, Image]):
    roots = {image.root for image in images.values()}
    before = {root: files(root) for root in roots}
    own_stack.ask("ingest", "POST", "/record", {"engine_temperature": 1.5})
    for container in own_stack.containers:
        container.check()
    for container in own_stack.containers:
        container.process.stop()
    assert {root: files(root) for root in roots} == before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="only Linux tells in /proc")
def test_every_process_runs_as_the_user_of_its_service(stack: Stack):
    for container in stack.containers:
        expected = container.uid if os.geteuid() == 0 else os.geteuid()
        assert Path(f"/proc/{container.process.pid}").stat().st_uid == expected


@pytest.mark.parametrize("service", ["ingest", "api"])
def test_an_http_role_that_is_stopped_exits_0_and_is_unhealthy(stack: Stack, service: str):
    role = stack.another(service)
    role.start()
    role.wait_until_healthy()
    assert role.process.stop() == 0, role.process.text
    assert role.check().returncode == 1


def test_ingest_is_unhealthy_while_redis_is_away_and_healthy_again_after(stack: Stack):
    ingest = stack.roles["ingest"]
    with stopped(stack.redis.process):
        assert ingest.check().returncode == 1
    ingest.wait_until_healthy()


def test_aggregators_that_are_stopped_exit_0_and_are_unhealthy(own_stack: Stack):
    for worker in own_stack.aggregators:
        assert worker.process.stop() == 0, worker.process.text
    assert own_stack.aggregators[0].check().returncode == 1


def test_an_aggregator_that_hangs_is_unhealthy_until_it_goes_on(own_stack: Stack):
    last, other = own_stack.aggregators
    other.process.stop()
    with stopped(last.process):
        wait_until(lambda: not last.is_healthy, "the heartbeat to be missed")
    last.wait_until_healthy()


def test_another_aggregator_does_not_make_this_one_healthy(own_stack: Stack):
    for worker in own_stack.aggregators:
        worker.process.stop()
    with own_stack.client() as client:
        later_ms = time.time() * 1000 + 60_000
        client.zadd(keys.WORKERS, {"another-container-0123456789abcdef": later_ms})
    assert own_stack.aggregators[0].check().returncode == 1


def test_redis_that_is_stopped_exits_0_and_is_unhealthy(own_stack: Stack):
    for container in own_stack.containers:
        assert container.process.stop() == 0, container.process.text
    assert own_stack.redis.check().returncode == 1


def test_what_was_recorded_is_there_after_redis_was_killed(stack: Stack):
    for value in range(20):
        stack.ask("ingest", "POST", "/record", {"device": "car-9", "speed": value})
    stack.redis.process.kill()
    stack.redis.start()
    stack.redis.wait_until_healthy()

    def all_applied() -> bool:
        status, body = stack.ask("api", "GET", "/api/v1/devices/car-9")
        return status == 200 and body["metrics"]["speed"]["total"]["count"] == 20

    wait_until(all_applied, "all 20 readings to be counted")


@pytest.mark.parametrize("service", ["ingest", "aggregator"])
def test_an_image_has_tributary_and_no_installer(images: dict[str, Image], service: str):
    image = images[service]
    installed = {path.name.split("-")[0] for path in image.root.rglob("*.dist-info")}
    assert "tributary" in installed
    assert not installed & {"pip", "setuptools"}
