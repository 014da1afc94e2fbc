"""`tributary health`: 0 or 1 for whoever runs containers, and the reason in one line."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis
from support import pipeline
from support.processes import Process, Server, tributary
from support.scripted import Answer, scripted
from support.waiting import wait_until

from tributary.operate import status
from tributary.settings import Settings
from tributary.store import scripts

Run = Callable[..., Process]


def asked(*arguments: str, **environ: str) -> tuple[int, str]:
    process = tributary("health", *arguments, environ=environ)
    return process.end(), process.text


def of_aggregator(server: Server, **environ: str) -> tuple[int, str]:
    return asked("aggregator", "--redis-url", server.url, **environ)


def test_a_role_that_is_ready_is_well(server: Server, settings: Settings, run: Run):
    port = pipeline.ingest(run, settings).rpartition(":")[2]
    assert asked("http", "--port", port) == (0, "")
    assert asked("http", TRIBUTARY_PORT=port, TRIBUTARY_HOST="0.0.0.0") == (0, "")


def test_the_reasons_of_a_role_that_is_not_ready_are_told(
    own_server: Callable[..., Server], run: Run
):
    server = own_server()
    port = pipeline.ingest(run, Settings(redis_url=server.url)).rpartition(":")[2]
    server.kill()
    code, text = asked("http", "--port", port)
    assert code == 1
    assert f"127.0.0.1:{port} is not ready: no reply from Redis" in text


@pytest.mark.parametrize(
    "answer", [Answer(404, {}), Answer(503, ["nonsense"]), Answer(500, {"reasons": 7}), Answer(0)]
)
def test_what_is_no_role_of_ours_is_not_well(answer: Answer):
    with scripted(answer) as other:
        code, text = asked("http", "--port", other.url.rpartition(":")[2])
    assert code == 1
    assert len(text.splitlines()) == 1, text


def test_nobody_on_the_port_is_one_line():
    code, text = asked("http", "--port", "1")
    assert (code, text.count("\n")) == (1, 1)
    assert "no response from 127.0.0.1:1" in text


def test_an_aggregator_of_this_machine_is_well_while_it_beats(
    server: Server, client: redis.Redis, settings: Settings, run: Run
):
    code, text = of_aggregator(server)
    assert code == 1
    assert "none of the 0 live aggregators" in text
    process = run("aggregator", environ=pipeline.environ(settings))
    wait_until(lambda: status.aggregators_alive(client, settings), "the aggregator to be alive")
    assert of_aggregator(server) == (0, "")
    assert process.stop() == 0
    assert of_aggregator(server)[0] == 1


def test_an_aggregator_elsewhere_says_nothing_of_this_one(server: Server, client: redis.Redis):
    scripts.run(client, scripts.heartbeat("another-host-1234", forget_after_ms=60_000))
    code, text = of_aggregator(server, TRIBUTARY_HEARTBEAT_MS="60000")  # fresh for long
    assert code == 1
    assert "none of the 1 live aggregators" in text


def test_a_faulty_setting_is_1_too():
    """Docker knows 0 and 1 only."""
    code, text = asked("http", TRIBUTARY_PORT="x")
    assert code == 1
    assert "TRIBUTARY_PORT='x'" in text
