"""`tributary health`: exits 0 or 1, and prints the reason in one line."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis
from support import pipeline
from support.processes import Process, Server, tributary
from support.scripted import Response, scripted
from support.waiting import wait_until

from tributary.operate import status
from tributary.settings import Settings
from tributary.store import scripts

Run = Callable[..., Process]


def health(*arguments: str, **environ: str) -> tuple[int, str]:
    process = tributary("health", *arguments, environ=environ)
    return process.end(), process.text


def aggregator_health(server: Server, **environ: str) -> tuple[int, str]:
    return health("aggregator", "--redis-url", server.url, **environ)


def test_a_ready_role_is_healthy(server: Server, settings: Settings, run: Run):
    port = pipeline.ingest(run, settings).rpartition(":")[2]
    assert health("http", "--port", port) == (0, "")
    assert health("http", TRIBUTARY_PORT=port, TRIBUTARY_HOST="0.0.0.0") == (0, "")


def test_prints_why_a_role_is_not_ready(own_server: Callable[..., Server], run: Run):
    server = own_server()
    port = pipeline.ingest(run, Settings(redis_url=server.url)).rpartition(":")[2]
    server.kill()
    code, text = health("http", "--port", port)
    assert code == 1
    assert f"127.0.0.1:{port} is not ready: no reply from Redis" in text


@pytest.mark.parametrize(
    "response",
    [Response(404, {}), Response(503, ["nonsense"]), Response(500, {"reasons": 7}), Response(0)],
)
def test_another_server_is_unhealthy(response: Response):
    with scripted(response) as other:
        code, text = health("http", "--port", other.url.rpartition(":")[2])
    assert code == 1
    assert len(text.splitlines()) == 1, text


def test_a_closed_port_is_reported_in_one_line():
    code, text = health("http", "--port", "1")
    assert (code, text.count("\n")) == (1, 1)
    assert "no response from 127.0.0.1:1" in text


def test_an_aggregator_is_healthy_while_it_sends_heartbeats(
    server: Server, client: redis.Redis, settings: Settings, run: Run
):
    code, text = aggregator_health(server)
    assert code == 1
    assert "none of the 0 live aggregators" in text
    process = run("aggregator", environ=pipeline.environ(settings))
    wait_until(lambda: status.aggregators_alive(client, settings), "the aggregator to be alive")
    assert aggregator_health(server) == (0, "")
    assert process.stop() == 0
    assert aggregator_health(server)[0] == 1


def test_ignores_aggregators_of_other_hosts(server: Server, client: redis.Redis):
    scripts.run(client, scripts.heartbeat("another-host-1234", forget_after_ms=60_000))
    code, text = aggregator_health(
        server, TRIBUTARY_HEARTBEAT_MS="60000"
    )  # remains fresh during a slow test
    assert code == 1
    assert "none of the 1 live aggregators" in text


def test_an_invalid_setting_exits_1():
    """Docker reserves all other exit statuses."""
    code, text = health("http", TRIBUTARY_PORT="x")
    assert code == 1
    assert "TRIBUTARY_PORT='x'" in text
