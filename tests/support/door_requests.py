"""Requests to a door in this process, and the readings that it makes of them."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ingest.admission import query_parser
from ingest.batch import Batch
from ingest.doors.door import Door
from ingest.limits import Rules
from tributary.auth.guard import RequestHeaders
from tributary.errors import Refused
from tributary.settings import Settings

RULES = Rules(Settings())
NOW_MS = 1_795_000_000_000  # after every time in the bodies of the tests


class DoorRequest(msgspec.Struct):
    body: bytes
    query: Any
    head: RequestHeaders


class Reading(NamedTuple):
    device: str
    time_ms: int
    metrics: dict[str, float]


def parse(
    door: Door,
    body: Any,
    query: str = "",
    *,
    rules: Rules = RULES,
    head: RequestHeaders | None = None,
    **params: str,
) -> Batch:
    """What a door makes of a body; one that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = DoorRequest(content, query_parser(query.encode(), **params), head or RequestHeaders())
    return door.parse(request, NOW_MS, rules)


def readings(batch: Batch) -> list[Reading]:
    """The readings of a batch, in the order of the request."""
    found: list[Reading] = []
    for blocks in batch.blocks.values():
        for block in blocks:
            assert isinstance(block.device, str)
            if isinstance(block.recorded_at_ms, int):
                found.append(Reading(block.device, block.recorded_at_ms, {**block.metrics}))  # type: ignore[dict-item]
                continue
            columns = {name: np.frombuffer(packed) for name, packed in block.metrics.items()}
            for row, time_ms in enumerate(np.frombuffer(block.recorded_at_ms, np.int64).tolist()):
                metrics = {name: float(column[row]) for name, column in columns.items()}
                found.append(Reading(block.device, time_ms, metrics))
    assert len(found) == batch.readings
    if batch.order is None:
        return found
    order = [int(index) for index in batch.order]
    return [found[place] for place in np.argsort(order, kind="stable").tolist()]


def status_of(door: Door, body: bytes, query: str = "", **params: str) -> int:
    """The status of the response to any body; what is stored can be packed and read."""
    try:
        batch = parse(door, body, query, **params)
    except Refused as refused:
        return refused.status
    readings(batch)
    for frame in batch.frames():
        assert frame.readings
    return door.ok(batch).status
