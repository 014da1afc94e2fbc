"""A server restarts without its newest writes; the loss is counted exactly once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from support import pipeline
from support.pipeline import Run
from support.processes import Server, request
from support.waiting import wait_until

from tributary.operate import status
from tributary.settings import Settings

Start = Callable[..., Server]
KEPT, LOST = 40, 15  # readings, each in its own entry


@pytest.fixture
def own(own_server: Start) -> Server:
    return own_server(appendfsync="always")


@contextmanager
def losing_the_tail(server: Server) -> Iterator[None]:
    """Kill the server, and remove from its file what was written meanwhile."""
    file = server.append_only_file
    size_bytes = file.stat().st_size
    yield
    server.kill()
    os.truncate(file, size_bytes)
    server.start()


def post(url: str, readings: int) -> int:
    """Post single readings over several partitions and connections; return how many were accepted."""
    responses = [
        request(url, "POST", "/record", {"device": f"car-{number}", "speed": number}, {})[0]
        for number in range(readings)
    ]
    return responses.count(200)


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "flask"])
def test_readings_lost_in_a_restart_are_counted_once(own: Server, run: Run, *, lane: bool):
    settings = Settings(redis_url=own.url, heartbeat_ms=100, lane=lane, ingest_workers=2)
    run("aggregator", environ=pipeline.environ(settings))
    url = pipeline.ingest(run, settings)
    lost = accepted = 0
    for _ in range(2):
        accepted += post(url, KEPT)
        wait_until(lambda: is_drained(own, settings), "the readings to be applied")
        with losing_the_tail(own):
            lost += post(url, LOST)
        wait_until(lambda: request(url, "GET", "/readyz", None, {})[0] == 200, "the server")
        wait_until(lambda: post(url, 1) == 1, "a reading to be taken")
        accepted += 1 + post(url, KEPT)  # so that each process reconnects
        wait_until(lambda n=lost: lost_by(own, settings) == n, f"{lost} lost")  # type: ignore[misc]
    wait_until(lambda: is_drained(own, settings), "the readings to be applied")
    found = status.read(own.client, settings)
    assert found.lost == found.lost_at_restart == lost
    assert (found.accepted, found.applied) == (accepted + lost, accepted)
    assert sum(p.entries.lost for p in found.partitions) == lost


def test_a_loss_is_reported_without_further_requests(own: Server, run: Run):
    settings = Settings(redis_url=own.url, heartbeat_ms=100)
    url = pipeline.ingest(run, settings)
    with losing_the_tail(own):
        assert post(url, LOST) == LOST
    wait_until(lambda: status.read(own.client, settings).missing == LOST, "the loss to show")
    run("aggregator", environ=pipeline.environ(settings))
    wait_until(lambda: status.read(own.client, settings).lost == LOST, "the loss to be counted")


def test_counts_everything_as_lost_if_the_server_comes_back_empty(own_server: Start, run: Run):
    server = own_server(appendonly="no")
    settings = Settings(redis_url=server.url, durability="memory")
    url = pipeline.ingest(run, settings)
    assert post(url, KEPT) == KEPT
    server.kill()
    server.start()
    wait_until(lambda: status.read(server.client, settings).missing == KEPT, "the loss to show")


def test_counts_nothing_as_lost_if_a_restart_loses_nothing(own: Server, run: Run):
    settings = Settings(redis_url=own.url, heartbeat_ms=100)
    run("aggregator", environ=pipeline.environ(settings))
    url = pipeline.ingest(run, settings)
    for _ in range(3):
        assert post(url, KEPT) == KEPT
        own.kill()
        own.start()
        wait_until(lambda: post(url, 1) == 1, "a reading to be taken")
    wait_until(lambda: is_drained(own, settings), "the readings to be applied")
    found = status.read(own.client, settings)
    assert found.accepted == found.applied == 3 * (KEPT + 1)
    assert found.lost == found.lost_at_restart == 0


def lost_by(server: Server, settings: Settings) -> int:
    return int(status.read(server.client, settings).lost)


def is_drained(server: Server, settings: Settings) -> bool:
    return bool(status.read(server.client, settings).pending == 0)
