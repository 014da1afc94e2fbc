"""Requests to the hot routes leave nothing to the garbage collector, which would pause the loop."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from support import folding, pipeline
from support.processes import Process, Server
from support.raw import connected, request

from tributary.model.frame import Block
from tributary.settings import Settings

_COMMAND = """
import gc, sys
from tributary.cli import main
gc.set_debug(gc.DEBUG_STATS)
sys.exit(main())
"""
_COLLECTION = "gc: collecting generation"
# A cycle of ten objects in each request would lead to two collections or more.
_BATCHES, _BATCH = 50, 100


@pytest.mark.parametrize(
    ("role", "sent"),
    [
        ("api", request("GET /collect?device=car-7")),
        ("ingest", request("POST /record", b'{"device":"car-7","speed":72.5}')),
    ],
    ids=["collect", "record"],
)
def test_no_collection_in_thousands_of_requests(
    server: Server, change: Callable[..., Settings], role: str, sent: bytes
):
    settings = change(partitions=1)
    folding.append(server.client, settings, [Block("car-7", 1_700_000_000_000, {"speed": 72.5})])
    folding.aggregate(settings, server.client)
    words = [sys.executable, "-c", _COMMAND, role, "--port", "0", "--ingest-workers", "1"]
    process = Process(words, pipeline.environ(settings))
    try:
        with connected(pipeline.serving(process)) as raw:
            found = []
            for _ in range(2):  # the first time fills caches
                for _ in range(_BATCHES):
                    raw.send(sent * _BATCH)
                    assert {raw.response().status for _ in range(_BATCH)} == {200}  # type: ignore[union-attr]
                found.append(process.text.count(_COLLECTION))
        assert found[1] - found[0] <= 1, process.text
        assert found[0] > 0  # those of the start are in the output
    finally:
        process.stop()
