"""The valid readings of one request, on their way from a door to the streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec
from numpy.typing import NDArray

from tributary.errors import Refused
from tributary.model import frame
from tributary.model.frame import Block
from tributary.store.stream import Frame


class Batch(msgspec.Struct, gc=False):
    """Readings that comply with every rule, as blocks by partition."""

    blocks: dict[int, list[Block]]
    readings: int
    is_batch: bool  # the client sent an array, lines or columns
    is_known: bool = False  # every series has been counted as new before
    remember: Callable[[], None] | None = None  # to be called once that is so; then it is known
    # Index in the request of each reading, in the order of the blocks; None: the same order.
    order: Sequence[int] | NDArray[Any] | None = None
    # Readings that were left out; None: one bad reading rejects the whole request.
    rejected: list[Refused] | None = None
    idempotency_key: str | None = None  # as sent
    ignored: Sequence[str] = ()  # names that had no number in at least one of the readings
    texts: int = 0  # values left out because they are text; counted in the metrics

    def frames(self) -> list[Frame]:
        """One frame per partition."""
        return [
            Frame(partition, frame.readings_in(blocks), frame.pack(blocks))
            for partition, blocks in self.blocks.items()
        ]

    def devices(self) -> Iterable[str]:
        """The devices of every block; a device may occur more than once."""
        if self.readings == 1:  # fast code: most requests, without a generator
            return [block.device for [block] in self.blocks.values()]  # type: ignore[misc]
        return self._all_devices()

    def _all_devices(self) -> Iterator[str]:
        for blocks in self.blocks.values():
            for block in blocks:
                if isinstance(block.device, str):
                    yield block.device
                else:
                    yield from block.device

    def readings_by_device(self) -> dict[str, int]:
        """Number of readings per device."""
        counts: Counter[str] = Counter()
        for blocks in self.blocks.values():
            for block in blocks:
                if isinstance(block.device, str):
                    counts[block.device] += frame.readings_in([block])
                else:
                    counts.update(block.device)
        return counts
