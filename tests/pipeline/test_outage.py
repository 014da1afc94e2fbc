"""During an outage of Redis: 503 at once, the reason in /readyz, one log line, and recovery."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import pytest
from support import pipeline
from support.persistence import is_loading, is_rewriting
from support.processes import Process, Reply, Server, exchange, request, stopped, tributary
from support.waiting import wait_until

from tributary.settings import Settings

Run = Callable[..., Process]


@pytest.fixture
def server(own_server: Callable[..., Server]) -> Server:
    return own_server()


@pytest.fixture
def settings(server: Server) -> Settings:
    return Settings(redis_url=server.url, heartbeat_ms=100)


@pytest.fixture(scope="module", params=[True, False], ids=["lane", "flask"])
def recovering(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[tuple[Server, str]]:
    """A server, and the URL of an ingest role that uses it; both work after each test."""
    server = Server(tmp_path_factory.mktemp("redis"))
    settings = Settings(redis_url=server.url, redis_timeout_ms=300, lane=request.param)
    process = tributary("ingest", "--port", "0", environ=pipeline.environ(settings))
    yield server, pipeline.serving(process)
    process.kill()
    server.close()


def post(url: str) -> Reply:
    return exchange(url, "POST", "/record", {"speed": 1})


def test_responds_with_503_while_redis_is_down_and_recovers(recovering: tuple[Server, str]):
    server, url = recovering
    assert post(url).status == 200
    server.kill()
    response = post(url)
    assert response.status == 503
    assert response.headers["retry-after"] == "1"
    status, body = request(url, "GET", "/readyz", None, {})
    assert status == 503
    assert body["ready"] is False
    assert "no reply from Redis" in body["reasons"][0]
    assert request(url, "GET", "/healthz", None, {})[0] == 200
    server.start()
    wait_until(lambda: post(url).status == 200, "the role to accept again")


def test_responds_with_503_within_the_timeout_if_redis_hangs(recovering: tuple[Server, str]):
    server, url = recovering
    with stopped(server.process):
        assert post(url).status == 503
    wait_until(lambda: post(url).status == 200, "the role to accept again")


def test_responds_with_503_if_redis_is_full(recovering: tuple[Server, str]):
    server, url = recovering
    server.client.config_set("maxmemory", "1")
    assert post(url).status == 503
    server.client.config_set("maxmemory", "0")
    assert post(url).status == 200


def test_responds_with_503_and_is_not_ready_if_redis_is_a_replica(recovering: tuple[Server, str]):
    server, url = recovering
    server.client.replicaof("127.0.0.1", "1")
    status, body = request(url, "POST", "/record", {"speed": 1}, {})
    assert (status, body["error"]["code"]) == (503, "unavailable")
    assert "read only replica" in body["error"]["message"]
    assert "slave" in request(url, "GET", "/readyz", None, {})[1]["reasons"][0]
    server.client.replicaof("NO", "ONE")
    wait_until(lambda: post(url).status == 200, "the role to accept again")


def test_responds_with_503_while_redis_is_loading(own_server: Callable[..., Server], run: Run):
    server = own_server(key_load_delay="2000", loading_process_events_interval_bytes="1024")
    settings = Settings(redis_url=server.url, redis_timeout_ms=300)
    url = pipeline.ingest(run, settings)
    assert post(url).status == 200
    server.client.mset({f"filler-{number}": "x" * 100 for number in range(2000)})
    server.client.bgrewriteaof()
    wait_until(lambda: not is_rewriting(server.client), "one file to load")
    server.process.kill()
    server.start(until_ready=False)
    wait_until(lambda: is_loading(server.client), "the server to load")
    response = post(url)
    assert response.status == 503
    assert response.headers["retry-after"]
    wait_until(lambda: post(url).status == 200, "the role to accept again", 60)


def test_the_lane_logs_an_outage_once_with_its_length(server: Server, run: Run):
    settings = Settings(redis_url=server.url)
    process = run("ingest", "--port", "0", environ=pipeline.environ(settings))
    url = pipeline.serving(process)
    server.kill()
    wait_until(lambda: post(url).status == 503, "the outage")
    began_s = time.monotonic()
    # Longer than the discovery interval, which must not log an outage of its own.
    wait_until(lambda: post(url).status != 503 or time.monotonic() > began_s + 3, "three seconds")
    assert post(url).status == 503
    server.start()
    wait_until(lambda: post(url).status == 200, "the role to accept again")
    process.wait_for(re.compile(r"outage ended.*redis \(record\)"))
    lines = [line for line in process.text.splitlines() if "redis (record)" in line]
    assert len([line for line in lines if "outage began" in line]) == 1, lines
    assert len([line for line in lines if "outage ended" in line and "lasted_s=" in line]) == 1, (
        lines
    )


def test_records_at_once_when_ready_after_an_outage(server: Server, run: Run):
    url = pipeline.ingest(run, Settings(redis_url=server.url))
    for _ in range(5):
        server.kill()
        wait_until(lambda: post(url).status == 503, "the outage")
        server.start()
        wait_until(lambda: request(url, "GET", "/readyz", None, {})[0] == 200, "readiness")
        status, body = request(url, "POST", "/record", {"speed": 1}, {})
        assert status == 200, body


def test_logs_an_outage_when_it_begins_and_when_it_ends(
    server: Server, settings: Settings, run: Run
):
    worker = run("aggregator", environ=pipeline.environ(settings))
    wait_until(lambda: "aggregator started" in worker.text, "the worker")
    wait_until(lambda: server.client.zcard("tributary:workers"), "its heartbeat")
    server.kill()
    wait_until(lambda: "outage began" in worker.text, "the outage to be noticed")
    server.start()
    wait_until(lambda: "outage ended" in worker.text, "the outage to end")
    assert worker.text.count("outage began") == 1
    assert worker.text.count("outage ended") == 1
    assert "lasted_s=" in worker.text


def test_refuses_to_start_with_a_server_that_evicts(server: Server, settings: Settings, run: Run):
    server.client.config_set("maxmemory-policy", "allkeys-lru")
    worker = run("aggregator", environ=pipeline.environ(settings))
    assert worker.end() == 2
    assert "CONFIG SET maxmemory-policy noeviction" in worker.text
