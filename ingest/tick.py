"""Requests that are sent together share one frame per partition."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from ingest.batch import Batch
from ingest.doors.door import Door
from ingest.new_series import NewSeries
from tributary.http.lane.request import Request
from tributary.http.response import Response
from tributary.model import frame
from tributary.model.frame import Block
from tributary.store.pipe import Reply
from tributary.store.stream import Frame, Idempotency

_SHARED_MAX_READINGS = 1_000  # a frame with this many is closed


class Sent(msgspec.Struct, gc=False, eq=False):
    """A request whose readings are on their way to Redis."""

    request: Request
    door: Door
    response: Response
    new_series: NewSeries | None
    pending: int = 0  # replies
    failure: Reply = None
    replies: list[Reply] | None = None  # kept only for a request with a key


# A request that has arrived, at a door. Fast code: plain tuples, since named ones cost a third of
# a microsecond.
Arrived = tuple[Door, Request]


class Requests(msgspec.Struct, gc=False, eq=False):
    """The requests whose readings a frame contains; of `singles`, nothing else is pending."""

    sent: list[Sent]
    singles: list[Arrived]


# A frame and its requests; one that is not shared has also its key, and whether it claims it.
Shared = tuple[Frame, Requests]
Keyed = tuple[Frame, Sent, Idempotency, bool]


class _Open(msgspec.Struct, gc=False, eq=False):
    """A frame that grows until it is sent."""

    blocks: list[Block | Raw]
    readings: int
    requests: Requests


class Tick:
    """The frames of the requests that have gathered: of one tick of the event loop, or of several."""

    __slots__ = ("_closed", "_keyed", "_open")

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}
        self._closed: list[Shared] = []
        self._keyed: list[Keyed] = []

    def add_single(self, arrived: Arrived, partition: int, block: Block) -> None:
        """Add a request with one reading, which waits for nothing else."""
        shared = self._open.get(partition)
        if shared is None:
            self._open[partition] = _Open([block], 1, Requests([], [arrived]))
            return
        shared.blocks.append(block)
        shared.requests.singles.append(arrived)
        shared.readings += 1
        if shared.readings >= _SHARED_MAX_READINGS:
            del self._open[partition]
            self._close(partition, shared)

    def share(self, sent: Sent, batch: Batch) -> None:
        """Add a batch to the shared frames."""
        for partition, added in batch.blocks.items():
            readings = batch.readings if len(batch.blocks) == 1 else frame.readings_in(added)
            sent.pending += 1
            # Fast code: it is not packed twice. What is open has arrived before, and goes first.
            if readings >= _SHARED_MAX_READINGS and partition not in self._open:
                packed = Frame(partition, readings, frame.pack(added))
                self._closed.append((packed, Requests([sent], [])))
                continue
            # Packed at once, so that its objects are freed for the next request of the tick.
            blocks: list[Block | Raw] = (
                [Raw(frame.pack_block(block)) for block in added] if batch.is_batch else [*added]
            )
            shared = self._open.get(partition)
            if shared is None:
                shared = self._open[partition] = _Open(blocks, readings, Requests([sent], []))
            else:
                shared.blocks += blocks
                shared.readings += readings
                shared.requests.sent.append(sent)
            if shared.readings >= _SHARED_MAX_READINGS:
                del self._open[partition]
                self._close(partition, shared)

    def add(
        self, sent: Sent, frames: list[Frame], idempotency: Idempotency, *, claims: bool
    ) -> None:
        """Add the frames of a request with a key, which are not shared."""
        sent.pending += len(frames)
        self._keyed += [(each, sent, idempotency, claims) for each in frames]

    def end(self) -> tuple[list[Shared], list[Keyed]]:
        """The frames to send."""
        for partition, shared in self._open.items():
            self._close(partition, shared)
        self._open.clear()
        found = self._closed, self._keyed
        self._closed, self._keyed = [], []
        return found

    def _close(self, partition: int, shared: _Open) -> None:
        packed = Frame(partition, shared.readings, frame.pack(shared.blocks))
        self._closed.append((packed, shared.requests))
