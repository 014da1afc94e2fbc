"""compose.yaml in a real container engine: privileges, networks, health checks, stops, kills."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from deploy import composefile, readme
from support.processes import request
from support.programs import needed
from support.waiting import wait_until

from engine.engine import ROOT, SOURCE
from engine.stack import IMAGES, Stack
from tributary.store import keys

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
# The image of PostgreSQL cannot be made from what the tests have.
SERVICES = {n: each for n, each in composefile.services().items() if "profiles" not in each}


def send(stack: Stack, service: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    return request(f"http://127.0.0.1:{stack.ports[service]}", method, path, body, {})


def record(stack: Stack, device: str, **metrics: float) -> None:
    response = send(stack, "ingest", "POST", "/record", {"device": device, **metrics})
    assert response == (200, {"success": True})


def count(stack: Stack, device: str, metric: str) -> int:
    status, body = send(stack, "api", "GET", f"/api/v1/devices/{device}")
    return body["metrics"][metric]["total"]["count"] if status == 200 else 0


def state(stack: Stack, container: str) -> dict[str, Any]:
    found: dict[str, Any] = stack.engine.inspect("container", container)
    return found


def test_a_reading_that_ingest_records_is_collected_from_api(stack: Stack):
    record(stack, "car-8", engine_temperature=92.5)
    wait_until(lambda: count(stack, "car-8", "engine_temperature") == 1, "the reading")
    collected = send(stack, "api", "GET", "/collect?device=car-8")[1]
    assert collected["current_engine_temperature"] == 92.5


def test_the_curl_commands_of_the_readme_work(stack: Stack):
    curl = needed("curl")
    ports = {":8000": f":{stack.ports['ingest']}", ":8001": f":{stack.ports['api']}"}
    commands = []
    for words in readme.COMMANDS:
        if words[0] == "curl":
            line = "\n".join(words[1:])
            for published, free in ports.items():
                line = line.replace(published, free)
            commands.append([curl, "-s", *line.split("\n")])
    record_command, collect_command = commands
    assert subprocess.check_output(record_command) == b'{"success":true}'
    wait_until(
        lambda: b'"current_engine_temperature":92.3' in subprocess.check_output(collect_command),
        "the reading to be collected",
    )


def test_status_runs_in_the_container_of_an_aggregator(stack: Stack):
    words = readme.compose_commands("exec")[0].words
    assert words[0] == "aggregator"
    assert stack.exec(stack.name("aggregator"), *words[1:]).count(b"aggregator ") == 2


def test_a_backup_made_while_redis_runs_can_be_restored(stack: Stack):
    hold, state, resume = readme.inside("exec", "valkey-cli")
    (save,), (load,) = readme.inside("exec", "tar"), readme.inside("run", "tar")
    redis, restored = stack.name("redis"), "/tmp/restored"
    stack.redis("hset", "kept", "a", "1", "b", "2", "c", "3")
    assert stack.exec(redis, *hold) == b"OK\n"
    assert b"aof_rewrite_in_progress:0" in stack.exec(redis, *state)
    archive = stack.exec(redis, *save)
    assert stack.exec(redis, *resume) == b"OK\n"
    stack.redis("del", "kept")
    stack.exec(redis, "mkdir", restored)
    stack.exec(redis, *(restored if word == "/data" else word for word in load), given=archive)
    server = ["valkey-server", "--port", "7000", "--appendonly", "yes", "--dir", restored]
    stack.exec(redis, *server, "--daemonize", "yes")
    client = ("valkey-cli", "-p", "7000")
    wait_until(
        lambda: stack.exec(redis, *client, "hlen", "kept") == b"3\n", "the backup to be read"
    )
    stack.exec(redis, *client, "shutdown", "nosave", check=False)


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
def test_a_container_has_the_configured_limits(stack: Stack, service: str):
    limits = SERVICES[service]["deploy"]["resources"]["limits"]
    host = state(stack, stack.name(service))["HostConfig"]
    assert host["Memory"] == {"512M": 512 * 1024**2, "1G": 1024**3}[limits["memory"]]
    assert host["RestartPolicy"]["Name"] == SERVICES[service]["restart"]


def test_only_the_two_http_ports_are_published_and_only_on_loopback(stack: Stack):
    published: dict[str, dict[str, list[str]]] = {}
    for name in stack.containers:
        for inner, outer in (state(stack, name)["HostConfig"]["PortBindings"] or {}).items():
            if outer:
                published.setdefault(name, {})[inner] = [each["HostIp"] for each in outer]
    assert published == {
        stack.name("proxy"): {"8000/tcp": ["127.0.0.1"], "8001/tcp": ["127.0.0.1"]}
    }


@pytest.mark.parametrize("service", ["aggregator", "jobs", "redis"])
def test_the_store_network_has_no_route_to_the_internet(stack: Stack, service: str):
    routes = stack.exec(stack.name(service), "cat", "/proc/net/route").decode().splitlines()[1:]
    assert routes
    assert not [route for route in routes if route.split()[1] == "00000000"]


def test_ingest_is_unhealthy_while_redis_is_paused_and_healthy_again_after(stack: Stack):
    redis, ingest = stack.name("redis"), stack.name("ingest")
    stack.engine.run("pause", redis)
    try:
        assert not stack.is_healthy(ingest)
        status, _ = send(stack, "ingest", "POST", "/record", {"speed": 1})
        assert status == 503
    finally:
        stack.engine.run("unpause", redis)
    wait_until(lambda: stack.is_healthy(ingest), "ingest to be healthy again", 30)


def test_the_health_of_an_aggregator_is_its_own(stack: Stack):
    last, other = stack.name("aggregator", 1), stack.name("aggregator", 2)
    stack.engine.run("stop", "--time", "20", other)
    assert stack.is_healthy(last)
    assert not stack.is_healthy(other)


def test_an_aggregator_that_hangs_is_unhealthy_until_it_continues(stack: Stack):
    hanging, other = stack.name("aggregator", 1), stack.name("aggregator", 2)
    processes = stack.exec(hanging, "sh", "-c", "grep -l -a aggregator /proc/[0-9]*/cmdline")
    pids = [line.split("/")[2] for line in processes.decode().splitlines()]
    pids = [pid for pid in pids if pid != "1"]
    stack.engine.run("stop", "--time", "20", other)
    stack.exec(hanging, "sh", "-c", f"kill -STOP {' '.join(pids)}", check=False)
    try:
        wait_until(lambda: not stack.is_healthy(hanging), "the heartbeat to be missed")
    finally:
        stack.exec(hanging, "sh", "-c", f"kill -CONT {' '.join(pids)}", check=False)
    wait_until(lambda: stack.is_healthy(hanging), "the aggregator to be healthy again")


def test_jobs_and_api_share_a_writable_volume(stack: Stack):
    """Each has the user of its image, which owns the volume."""
    stack.exec(stack.name("jobs"), "touch", "/var/lib/tributary/x")
    stack.exec(stack.name("api"), "rm", "/var/lib/tributary/x")
    assert not stack.exec(stack.name("ingest"), "ls", "/var/lib/tributary")


def test_jobs_are_unhealthy_while_redis_is_paused(stack: Stack):
    jobs, redis = stack.name("jobs"), stack.name("redis")
    stack.engine.run("pause", redis)
    try:
        assert not stack.is_healthy(jobs)
    finally:
        stack.engine.run("unpause", redis)
    wait_until(lambda: stack.is_healthy(jobs), "jobs to be healthy again", 30)


def test_an_error_reply_of_redis_is_unhealthy(stack: Stack):
    check = SERVICES["redis"]["healthcheck"]["test"][1:]
    wrong = ["exec", "--env", "REDISCLI_AUTH=wrong", stack.name("redis"), *check]
    assert stack.engine.run(*wrong, check=False).returncode != 0


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_that_is_stopped_exits_0(stack: Stack, service: str):
    name = stack.name(service)
    stack.engine.run("stop", "--time", "20", name)
    assert state(stack, name)["State"]["ExitCode"] == 0


def test_acknowledged_readings_are_counted_once_after_all_containers_are_killed(stack: Stack):
    for number in range(20):
        record(stack, "car-9", speed=number)
    for name in stack.containers:
        stack.engine.run("kill", "--signal", "KILL", name)
    stack.start()
    wait_until(lambda: stack.is_healthy(stack.name("api")), "api to be healthy", 60)
    wait_until(lambda: count(stack, "car-9", "speed") == 20, "all 20 readings to be counted", 60)


@pytest.mark.parametrize("service", ["ingest", "aggregator"])
def test_an_image_contains_tributary_without_installers_and_tests(stack: Stack, service: str):
    found = stack.exec(stack.name(service), "find", "/opt/tributary", "-name", "*.dist-info")
    installed = {Path(line).name.split("-")[0] for line in found.decode().splitlines()}
    assert "tributary" in installed
    assert not installed & {"pip", "setuptools", "pytest"}
    files = stack.exec(stack.name(service), "find", "/opt/tributary", "-type", "d").decode()
    packages = ("tributary", "ingest", "aggregator", "bridge", "api", "jobs")
    own = [
        line for line in files.splitlines() if line.split("site-packages/")[-1].startswith(packages)
    ]
    assert any(line.endswith("/jobs") for line in own)
    assert not [line for line in files.splitlines() if line.endswith("site-packages/tests")]
    assert not [line for line in own if "/tests" in line]


def test_the_labels_of_an_image_name_its_version_and_its_revision(stack: Stack):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    head = subprocess.check_output(["git", "-C", str(ROOT), "rev-parse", "HEAD"], text=True)
    for image in ("ingest", "aggregator"):
        labels = stack.engine.inspect("image", stack.image(image))["Labels"]
        prefix = "org.opencontainers.image."
        found = {key.removeprefix(prefix): labels[key] for key in labels if key.startswith(prefix)}
        assert found["title"] == f"tributary-{IMAGES[image]}"
        assert found["version"] == project["version"]
        assert found["revision"].removesuffix("-modified") == head.strip()
        assert found["source"] == SOURCE
        assert found["licenses"] == project["license"]
        assert found["description"]
        assert datetime.fromisoformat(found["created"]).tzinfo is not None


def test_the_bill_of_materials_of_an_image_has_exactly_what_is_locked(stack: Stack):
    image = stack.image("ingest")
    bill = json.loads(stack.engine.script("sbom", image))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    components = bill["components"]
    references = [each["bom-ref"] for each in components]
    assert len(references) == len(set(references))
    packages = {each["purl"] for each in components if each["purl"].startswith("pkg:pypi/")}
    lock = re.findall(
        r"^(\S+)==([\d.a-z]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE
    )
    locked = {f"pkg:pypi/{name}@{version}" for name, version in lock}
    own = {purl for purl in packages if purl.startswith("pkg:pypi/tributary@")}
    assert len(own) == 1
    assert packages - own <= locked
    assert len(packages) > 20
    without_license = {each["purl"] for each in components if "licenses" not in each}
    # The metadata of this one states none.
    assert {purl.split("@")[0] for purl in packages & without_license} <= {"pkg:pypi/promql-parser"}
    assert any(purl.startswith("pkg:deb/debian/libc6@") for purl in references)


@pytest.mark.parametrize("service", ["ingest", "aggregator"])
def test_an_image_declares_its_user_its_signal_and_its_health_check(stack: Stack, service: str):
    image = stack.engine.inspect("image", stack.image(service))
    assert image["Config"]["User"] == SERVICES[service]["user"]
    assert image["Config"]["StopSignal"] == "SIGTERM"
    assert image["Healthcheck"]["Test"][:3] == ["CMD", "tributary", "health"]
    assert image["Size"] < 500e6  # bytes, including the substitute for the base image
