"""Looking up the series of a batch in Redis, and removing some of them from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import repeat

import msgspec

from ingest.batch import Batch
from tributary.auth.tokens import Token
from tributary.errors import Refused
from tributary.model import frame
from tributary.model.frame import Block
from tributary.store import keys


class Lookup(msgspec.Struct):
    """Series and devices of a batch that are not cached, by partition."""

    devices: dict[int, dict[str, None]]
    series: dict[int, dict[tuple[str, str], None]]
    token: Token | None

    def commands(self) -> list[tuple[int, tuple[str, ...]]]:
        """Commands with their partitions; `Caps.settle` takes the replies in this order.

        `state` has series of format 2, and before `rows`: a series may be moved meanwhile.
        """
        commands: list[tuple[int, tuple[str, ...]]] = []
        for p, series in self.series.items():
            names = [keys.series(*each) for each in series]
            commands += [
                (p, ("ZMSCORE", keys.devices(p), *self.devices[p])),
                (p, ("HMGET", keys.state(p), *names)),
                (p, ("HMGET", keys.rows(p), *names)),
            ]
        return commands


def devices_of(block: Block) -> list[str]:
    """The distinct devices of a block."""
    return [block.device] if isinstance(block.device, str) else list(dict.fromkeys(block.device))


def without(batch: Batch, refused: dict[tuple[str, str], Refused]) -> Batch:
    """A batch without the readings of refused series, which become rejected readings."""
    rejected = [*(batch.rejected or ())]
    kept: dict[int, list[Block]] = {}
    readings = begin = 0
    order = range(batch.readings) if batch.order is None else batch.order
    for partition, blocks in batch.blocks.items():
        for block in blocks:
            problems = {
                device: refused[device, metric]
                for device in devices_of(block)
                for metric in block.metrics
                if (device, metric) in refused
            }
            end = begin + frame.readings_in([block])
            if problems:
                rejected += _each_reading(block, problems, order[begin:end])
            begin = end
            left = block if not problems else _rest(block, problems.keys())
            if left is not None:
                kept.setdefault(partition, []).append(left)
                readings += frame.readings_in([left])
    rejected.sort(key=lambda refusal: refusal.index or 0)
    return Batch(
        kept,
        readings,
        batch.is_batch,
        rejected=rejected,
        idempotency_key=batch.idempotency_key,
        ignored=batch.ignored,
    )


def _each_reading(
    block: Block, problems: dict[str, Refused], order: Iterable[int]
) -> Iterator[Refused]:
    """The rejected readings of a block, with their index in the request."""
    devices = repeat(block.device) if isinstance(block.device, str) else block.device
    for device, index in zip(devices, order, strict=False):
        if device in problems:
            of_device = problems[device]
            yield Refused(
                of_device.message,
                status=of_device.status,
                code=of_device.code,
                field=of_device.field,
                index=int(index),
            )


def _rest(block: Block, devices: Collection[str]) -> Block | None:
    """A block without the readings of some of its devices."""
    if isinstance(block.device, str):
        return None
    rows = [row for row, device in enumerate(block.device) if device not in devices]
    if not rows:
        return None

    def select(column: float | bytes) -> bytes:
        assert isinstance(column, bytes)
        return b"".join(column[row * 8 : row * 8 + 8] for row in rows)

    return Block(
        [block.device[row] for row in rows],
        select(block.recorded_at_ms),
        {name: select(column) for name, column in block.metrics.items()},
    )
