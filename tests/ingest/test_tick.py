"""Requests that are sent together share frames, in the order of their arrival."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.batch import Batch
from ingest.tick import Sent, Tick
from tributary.model import frame
from tributary.model.frame import Block


def batch(readings: int, value: float, partition: int = 0) -> Batch:
    """An array of readings of one device, as a column."""
    times_ms, values = (b"\0" * 8 * readings for _ in range(2))
    column = Block("car-7", times_ms, {f"m{value}": values})
    return Batch({partition: [column]}, readings, is_batch=True)


def sent() -> Sent:
    request: Any = None
    door: Any = None
    response: Any = None
    return Sent(request, door, response, None)


def metrics(tick: Tick) -> list[list[str]]:
    """The metrics of each frame."""
    shared, _ = tick.end()
    return [
        [name for _, _, values in frame.unpack(each.packed) for name in values]
        for each, _ in shared
    ]


@pytest.mark.parametrize("readings", [1, 999, 1_000, 5_000])
def test_a_large_batch_follows_what_arrived_before_it(readings: int):
    tick = Tick()
    for number, size in enumerate((1, readings, 1)):
        tick.share(sent(), batch(size, number))
    found = metrics(tick)
    assert [name for names in found for name in names] == ["m0", "m1", "m2"]
    assert len(found) == (1 if readings < 999 else 2)


def test_a_large_batch_has_its_own_frame_if_nothing_is_before_it():
    tick, first, second = Tick(), sent(), sent()
    tick.share(first, batch(1_000, 0))
    tick.share(second, batch(1, 1))
    shared, _ = tick.end()
    assert [each.readings for each, _ in shared] == [1_000, 1]
    assert [requests.sent for _, requests in shared] == [[first], [second]]
    assert (first.pending, second.pending) == (1, 1)
