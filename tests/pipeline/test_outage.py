"""Redis is away: 503 at once, reasons in /readyz, one line in the log, and back by itself."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from support import pipeline
from support.processes import Process, Server, request, stopped
from support.waiting import wait_until

from tributary.settings import Settings

Run = Callable[..., Process]


@pytest.fixture
def server(own_server: Callable[..., Server]) -> Server:
    return own_server()


@pytest.fixture
def settings(server: Server) -> Settings:
    return Settings(redis_url=server.url, heartbeat_ms=100, redis_timeout_ms=300)


def post(url: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request("POST", "/record", b'{"speed":1}')
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def test_a_server_that_is_away_is_a_503_and_comes_back(
    server: Server, settings: Settings, run: Run
):
    url = pipeline.ingest(run, settings)
    assert post(url).status == 200
    server.kill()
    answer = post(url)
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "1"
    status, body = request(url, "GET", "/readyz", None, {})
    assert status == 503
    assert body["ready"] is False
    assert "no reply from Redis" in body["reasons"][0]
    assert request(url, "GET", "/healthz", None, {})[0] == 200
    server.start()
    wait_until(lambda: post(url).status == 200, "the role to accept again")


def test_a_server_that_hangs_is_a_503_within_the_time_limit(
    server: Server, settings: Settings, run: Run
):
    url = pipeline.ingest(run, settings)
    with stopped(server.process):
        assert post(url).status == 503
    wait_until(lambda: post(url).status == 200, "the role to accept again")


def test_a_server_that_is_full_is_a_503(server: Server, settings: Settings, run: Run):
    url = pipeline.ingest(run, settings)
    server.client.config_set("maxmemory", "1")
    assert post(url).status == 503
    server.client.config_set("maxmemory", "0")
    assert post(url).status == 200


def test_a_replica_is_a_503_and_not_ready(server: Server, settings: Settings, run: Run):
    url = pipeline.ingest(run, settings)
    server.client.replicaof("127.0.0.1", "1")
    assert post(url).status == 503
    assert "slave" in request(url, "GET", "/readyz", None, {})[1]["reasons"][0]
    server.client.replicaof("NO", "ONE")
    assert post(url).status == 200


def test_an_outage_is_logged_when_it_begins_and_when_it_ends(
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


def test_a_server_that_evicts_is_refused_at_start(server: Server, settings: Settings, run: Run):
    server.client.config_set("maxmemory-policy", "allkeys-lru")
    worker = run("aggregator", environ=pipeline.environ(settings))
    assert worker.end() == 2
    assert "CONFIG SET maxmemory-policy noeviction" in worker.text
