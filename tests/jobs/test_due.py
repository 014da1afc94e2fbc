"""What the schedule queues: nothing that has nothing to do."""

from __future__ import annotations

import math

import msgspec
import pytest
from support import folding
from support.processes import Server

from jobs import archive, due
from tributary.model.clock import utc_ms
from tributary.model.frame import Block
from tributary.settings import Settings


def test_only_partitions_that_have_moved_on_are_archived(
    server: Server, history: Settings, monkeypatch: pytest.MonkeyPatch
):
    settings = msgspec.structs.replace(history, redis_url=server.url, partitions=1)

    def post() -> None:
        folding.append(server.client, settings, [Block("d", utc_ms(), {"m": 1.0})])

    monkeypatch.setattr(due, "_all_at_s", -math.inf)
    assert due.archive(settings) == [(0,)]  # creates the database
    assert due.archive(settings) == []
    post()
    folding.aggregate(settings, server.client)
    assert due.archive(settings) == [(0,)]
    archive.run(settings, 0)
    assert due.archive(settings) == []
    monkeypatch.setattr(due, "_all_at_s", -math.inf)
    assert due.archive(settings) == [(0,)]  # the database may be another one
    post()
    assert due.archive(settings) == []  # not applied yet
    folding.aggregate(settings, server.client)
    assert due.archive(settings) == [(0,)]
    assert due.archive(msgspec.structs.replace(settings, history="off")) == []
