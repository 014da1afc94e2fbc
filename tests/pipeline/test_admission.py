"""With a full backlog readings are rejected with 503, or trimmed, and counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import redis
from support import pipeline
from support.pipeline import Run
from support.processes import request
from support.waiting import wait_until

from tributary.operate import status
from tributary.settings import Settings
from tributary.store import keys

CAP = 400  # the stream is trimmed by nodes of 100 entries
ADMITTED = 360


@pytest.fixture(params=[True, False], ids=["lane", "flask"])
def settings(change: Callable[..., Settings], request: pytest.FixtureRequest) -> Settings:
    return change(lane=request.param, partitions=1, stream_max_entries=CAP)


@dataclasses.dataclass
class Answers:
    """Readings per response status, and the last body."""

    accepted: int = 0
    refused: int = 0
    last: Any = None


def post_batches(url: str, *, entries: int) -> Answers:
    responses = Answers()
    for number in range(entries):
        readings = [{"speed": number}] * (1 + number % 3)
        status_code, responses.last = request(url, "POST", "/record", readings, {})
        if status_code == 200:
            responses.accepted += len(readings)
        else:
            assert status_code == 503
            responses.refused += len(readings)
    return responses


def counted(client: redis.Redis, field: str) -> int:
    return int(client.hget(keys.meta(0), field) or 0)


def test_rejects_readings_at_90_percent_unread_until_the_backlog_is_applied(
    settings: Settings, client: redis.Redis, run: Run
):
    url = pipeline.ingest(run, settings)
    responses = post_batches(url, entries=ADMITTED + 50)
    assert responses.last["error"]["code"] == "backlog_full"
    assert counted(client, "entries") == ADMITTED
    assert counted(client, "accepted") == responses.accepted
    sizes = [1 + number % 3 for number in range(ADMITTED, ADMITTED + 50)]
    assert counted(client, "refused") == responses.refused == sum(sizes)
    run("aggregator", environ=pipeline.environ(settings))
    wait_until(lambda: pipeline.drained(settings), "the backlog to be worked off")
    assert request(url, "POST", "/record", {"speed": 1}, {})[0] == 200
    wait_until(lambda: pipeline.drained(settings), "the last reading")
    assert counted(client, "applied") == responses.accepted + 1


def test_trims_the_oldest_entries_and_counts_them_as_lost(
    settings: Settings, change: Callable[..., Settings], client: redis.Redis, run: Run
):
    settings = change(lane=settings.lane, partitions=1, stream_max_entries=CAP, overflow="trim")
    url = pipeline.ingest(run, settings)
    responses = post_batches(url, entries=2 * CAP)
    assert responses.refused == 0
    kept = client.xlen(keys.readings(0))
    assert CAP <= kept < 2 * CAP
    run("aggregator", environ=pipeline.environ(settings))
    wait_until(lambda: status.read(client, settings).pending == 0, "everything to be counted")
    found = status.read(client, settings)
    assert found.accepted == found.applied + found.lost == responses.accepted
    assert counted(client, "lost_entries") == 2 * CAP - kept
