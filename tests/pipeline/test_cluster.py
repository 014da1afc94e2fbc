"""The same code on a Redis Cluster: partitions on several nodes, and a node that fails over."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from support import pipeline
from support.cluster import Cluster
from support.pipeline import Load, Run
from support.processes import request
from support.sse import Ear
from support.waiting import wait_until

from tributary.operate import status
from tributary.settings import Settings
from tributary.store import keys, redis_client
from tributary.store.topology import Nodes

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server")
DEVICES = [f"car-{number}" for number in range(40)]


@pytest.fixture
def cluster(tmp_path: Path, replicas: int) -> Iterator[Cluster]:
    running = Cluster(tmp_path / "cluster", replicas=replicas)
    yield running
    running.close()


@pytest.fixture
def settings(cluster: Cluster) -> Settings:
    return Settings(redis_url=cluster.url, heartbeat_ms=100)


def collected(url: str, device: str) -> Any:
    return request(url, "GET", f"/collect?device={device}", None, {})[1]


@pytest.mark.parametrize("replicas", [0])
@pytest.mark.parametrize("lane", [True, False], ids=["lane", "flask"])
def test_everything_works_on_several_nodes(
    run: Run, cluster: Cluster, replicas: int, *, lane: bool
):
    settings = Settings(redis_url=cluster.url, heartbeat_ms=100, lane=lane)
    run("aggregator", environ=pipeline.environ(settings))
    environ = pipeline.environ(settings)
    ingest = pipeline.ingest(run, settings)
    api = str(run("api", "--port", "0", environ=environ).wait_for(pipeline.SERVING)[1])
    batch = [{"device": device, "speed": n} for n, device in enumerate(DEVICES)]
    once = {"Idempotency-Key": "first"}
    assert request(ingest, "POST", "/record", batch, once)[0] == 200
    assert request(ingest, "POST", "/record", batch, once)[1]["duplicate"] is True
    for other in (batch[:1], batch[::-1], batch[1:2]):  # rejected, whatever its partitions
        refused = request(ingest, "POST", "/record", other, once)
        assert (refused[0], refused[1]["error"]["code"]) == (422, "key_reused")
    wait_until(lambda: pipeline.drained(settings), "the readings to be applied")
    responses = [collected(api, device) for device in DEVICES]
    assert [response["current_speed"] for response in responses] == list(range(len(DEVICES)))
    listed = request(api, "GET", "/api/v1/devices?limit=1000", None, {})[1]["devices"]
    assert [device["device"] for device in listed] == sorted(DEVICES)
    device = request(api, "GET", "/api/v1/devices/car-7", None, {})[1]
    assert device["metrics"]["speed"]["total"]["count"] == 1
    assert request(ingest, "GET", "/readyz", None, {})[0] == 200
    if lane:
        with contextlib.closing(Ear(api, "?device=car-7")) as ear:
            ear.wait_for("car-7", current_speed=DEVICES.index("car-7"))
    holding = [n for n in cluster.masters if n.client.keys("tributary:*:readings")]
    assert len(holding) == len(cluster.masters)
    assert run("status", "--redis-url", cluster.url).end() == 0


@pytest.mark.kills
@pytest.mark.parametrize("replicas", [1])
def test_a_master_dies_and_its_replica_takes_over(
    run: Run, cluster: Cluster, settings: Settings, tmp_path: Path, replicas: int
):
    """A failover may lose what the replica does not have yet, so the load pauses meanwhile."""
    for _ in range(2):
        run("aggregator", environ=pipeline.environ(settings))
    url = pipeline.ingest(run, settings)
    first = Load(url, tmp_path / "first", readings=5_000, seed=1)
    first.verdict(settings)
    first.close()
    cluster.masters[1].process.kill()
    batch = [{"device": device, "speed": n} for n, device in enumerate(DEVICES)]
    wait_until(
        lambda: request(url, "POST", "/record", batch, {"Idempotency-Key": "after"})[0] == 200,
        "the replica to take over",
        60,
    )
    wait_until(lambda: pipeline.drained(settings), "the readings to be applied", 60)
    client = redis_client.connect(settings)
    assert status.read(client, settings).applied == 5_000 + len(DEVICES)
    client.close()


def seconds_until_back(run: Run, cluster: Cluster, settings: Settings) -> dict[str, float]:
    """Kill the node that `redis_url` names first; return the seconds until each request succeeds again."""
    environ = pipeline.environ(settings)
    run("aggregator", environ=environ)
    ingest = pipeline.ingest(run, settings)
    api = str(run("api", "--port", "0", environ=environ).wait_for(pipeline.SERVING)[1])
    batch = [{"device": device, "speed": n} for n, device in enumerate(DEVICES)]
    assert request(ingest, "POST", "/record", batch, {})[0] == 200
    wait_until(lambda: pipeline.drained(settings), "the readings to be applied")
    wait_until(lambda: request(api, "GET", "/readyz", None, {})[0] == 200, "api to be ready")
    questions: dict[str, Callable[[], int]] = {
        "/record": lambda: request(ingest, "POST", "/record", batch, {})[0],
        "/readyz": lambda: request(ingest, "GET", "/readyz", None, {})[0],
        "/collect": lambda: max(
            request(api, "GET", f"/collect?device={device}", None, {})[0] for device in DEVICES
        ),
        "status": lambda: request(api, "GET", "/api/v1/status", None, {})[0],
        "list": lambda: request(api, "GET", "/api/v1/devices", None, {})[0],
        "/metrics": lambda: _redis_up(api),
    }
    killed_s = time.monotonic()
    cluster.masters[0].process.kill()
    wait_until(lambda: questions["/record"]() != 200, "the outage to be noticed", 10)
    back: dict[str, float] = {}

    def all_back() -> bool:
        for name in questions.keys() - back.keys():
            if questions[name]() == 200:
                back[name] = time.monotonic() - killed_s
        return len(back) == len(questions)

    wait_until(all_back, f"all of {sorted(questions)}", 60)
    return back


def _redis_up(url: str) -> int:
    with urlopen(f"{url}/metrics") as response:
        return 200 if b"\ntributary_redis_up 1.0" in response.read() else 503


@pytest.mark.kills
@pytest.mark.parametrize("replicas", [1])
def test_everything_recovers_when_the_node_in_the_url_has_died(
    run: Run, cluster: Cluster, settings: Settings, replicas: int
):
    back = seconds_until_back(run, cluster, settings)
    # No request depends on the dead node longer than the others.
    assert max(back.values()) - min(back.values()) < 10, back
    sys.stderr.write(f"seconds until back: {back}\n")


@pytest.mark.parametrize("replicas", [0])
def test_connects_through_any_of_several_seeds_and_finds_the_other_nodes(
    run: Run, cluster: Cluster, replicas: int
):
    ports = [node.port for node in cluster.masters]
    closed = f"127.0.0.1:1,127.0.0.1:{ports[1]},127.0.0.1:{ports[0]}"
    settings = Settings(redis_url=f"redis://{closed}/0", heartbeat_ms=100)
    run("aggregator", environ=pipeline.environ(settings))
    url = pipeline.ingest(run, settings)
    assert request(url, "POST", "/record", {"device": "a", "speed": 1}, {})[0] == 200
    wait_until(lambda: pipeline.drained(settings), "the reading to be applied")
    assert run("status", "--redis-url", settings.redis_url).end() == 0
    names = [keys.meta(partition) for partition in range(settings.partitions)]
    nodes = Nodes(cluster.url, timeout_ms=1000)
    found = asyncio.run(nodes.urls(names))
    one, *others = reversed(cluster.masters)
    for other in others:  # for which the cluster is down, as for a node that is cut off
        id_ = other.client.execute_command("CLUSTER", "MYID")
        one.client.execute_command("CLUSTER", "FORGET", id_)
    seeds = ",".join(f"127.0.0.1:{node.port}" for node in reversed(cluster.masters))
    assert asyncio.run(Nodes(f"redis://{seeds}", timeout_ms=1000).urls(names)) == [
        url.replace("/0", "") for url in found
    ]

    async def seen() -> set[str]:
        before = await nodes.urls(names)
        cluster.masters[0].process.kill()
        assert await nodes.urls(names) == before
        return set(before)

    assert len(asyncio.run(seen())) == len(cluster.masters)
