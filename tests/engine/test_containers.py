"""compose.yaml in a real container engine: what a service can do, and what it survives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from deploy import composefile
from support.processes import request
from support.waiting import wait_until

from engine.engine import Stack
from tributary.store import keys

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SERVICES = composefile.services()


def ask(stack: Stack, service: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    return request(f"http://127.0.0.1:{stack.ports[service]}", method, path, body, {})


def record(stack: Stack, device: str, **metrics: float) -> None:
    answer = ask(stack, "ingest", "POST", "/record", {"device": device, **metrics})
    assert answer == (200, {"success": True})


def count(stack: Stack, device: str, metric: str) -> int:
    status, body = ask(stack, "api", "GET", f"/api/v1/devices/{device}")
    return body["metrics"][metric]["total"]["count"] if status == 200 else 0


def state(stack: Stack, container: str) -> dict[str, Any]:
    found: dict[str, Any] = stack.engine.inspect("container", container)
    return found


def test_a_reading_that_ingest_records_is_collected_from_api(stack: Stack):
    record(stack, "car-8", engine_temperature=92.5)
    wait_until(lambda: count(stack, "car-8", "engine_temperature") == 1, "the reading")
    collected = ask(stack, "api", "GET", "/collect?device=car-8")[1]
    assert collected["current_engine_temperature"] == 92.5


def test_the_partitions_are_shared_by_the_replicas(stack: Stack):
    assert stack.redis("zcard", keys.WORKERS) == b"2\n"


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_runs_as_its_user_without_capabilities_or_a_writable_root(
    stack: Stack, service: str
):
    name = stack.name(service)
    user = SERVICES[service]["user"].split(":")[0]
    assert stack.exec(name, "id", "-u").decode().strip() == user
    status = stack.exec(name, "cat", "/proc/self/status").decode()
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    for path in ("/x", "/etc/x", "/opt/x"):
        assert stack.engine.run("exec", name, "touch", path, check=False).returncode != 0
    stack.exec(name, "touch", "/tmp/x")


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_has_the_limits_of_the_file(stack: Stack, service: str):
    limits = SERVICES[service]["deploy"]["resources"]["limits"]
    host = state(stack, stack.name(service))["HostConfig"]
    assert host["Memory"] == {"512M": 512 * 1024**2, "1G": 1024**3}[limits["memory"]]
    assert host["RestartPolicy"]["Name"] == SERVICES[service]["restart"]


def test_only_the_two_http_ports_are_published_and_only_on_loopback(stack: Stack):
    published = {}
    for name in stack.containers:
        for inner, outer in (state(stack, name)["HostConfig"]["PortBindings"] or {}).items():
            published[name] = (inner, [binding["HostIp"] for binding in outer])
    expected = ("8000/tcp", ["127.0.0.1"])
    assert published == {stack.name("ingest"): expected, stack.name("api"): expected}


@pytest.mark.parametrize("service", ["aggregator", "redis"])
def test_a_container_of_the_store_network_has_no_route_out(stack: Stack, service: str):
    routes = stack.exec(stack.name(service), "cat", "/proc/net/route").decode().splitlines()[1:]
    assert routes
    assert not [route for route in routes if route.split()[1] == "00000000"]


def test_ingest_is_unhealthy_while_redis_is_paused_and_healthy_again_after(stack: Stack):
    redis, ingest = stack.name("redis"), stack.name("ingest")
    stack.engine.run("pause", redis)
    try:
        assert not stack.is_healthy(ingest)
        status, _ = ask(stack, "ingest", "POST", "/record", {"speed": 1})
        assert status == 503
    finally:
        stack.engine.run("unpause", redis)
    wait_until(lambda: stack.is_healthy(ingest), "ingest to be healthy again", 30)


def test_an_aggregator_is_not_healthy_because_another_one_is(stack: Stack):
    last, other = stack.name("aggregator", 1), stack.name("aggregator", 2)
    stack.engine.run("stop", "--time", "20", other)
    assert stack.is_healthy(last)
    assert not stack.is_healthy(other)


@pytest.mark.parametrize("service", ["ingest", "api", "aggregator", "redis"])
def test_a_container_that_is_stopped_exits_0(stack: Stack, service: str):
    name = stack.name(service)
    stack.engine.run("stop", "--time", "20", name)
    assert state(stack, name)["State"]["ExitCode"] == 0


def test_what_was_acknowledged_is_counted_once_after_every_container_was_killed(stack: Stack):
    for number in range(20):
        record(stack, "car-9", speed=number)
    for name in stack.containers:
        stack.engine.run("kill", "--signal", "KILL", name)
    stack.start()
    wait_until(lambda: stack.is_healthy(stack.name("api")), "api to be healthy", 60)
    wait_until(lambda: count(stack, "car-9", "speed") == 20, "all 20 readings to be counted", 60)


@pytest.mark.parametrize("service", ["ingest", "aggregator"])
def test_an_image_has_tributary_and_nothing_to_install_or_test_with(stack: Stack, service: str):
    found = stack.exec(stack.name(service), "find", "/opt/tributary", "-name", "*.dist-info")
    installed = {Path(line).name.split("-")[0] for line in found.decode().splitlines()}
    assert "tributary" in installed
    assert not installed & {"pip", "setuptools", "pytest"}
    files = stack.exec(stack.name(service), "find", "/opt/tributary", "-type", "d").decode()
    assert "/tests" not in files.replace("/numpy/", "/").split("site-packages/tributary")[-1]


@pytest.mark.parametrize("service", ["ingest", "aggregator"])
def test_an_image_says_its_user_its_signal_and_its_health_check(stack: Stack, service: str):
    image = stack.engine.inspect("image", stack.image(service))
    assert image["Config"]["User"] == SERVICES[service]["user"]
    assert image["Config"]["StopSignal"] == "SIGTERM"
    assert image["Healthcheck"]["Test"][:3] == ["CMD", "tributary", "health"]
    assert image["Size"] < 500e6  # bytes, the stand-in of the base image included
