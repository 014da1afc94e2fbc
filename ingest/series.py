"""The series that a request brings: what to ask of Redis about them, and readings without some."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from ingest.rules import Accepted
from tributary import frame, keys
from tributary.errors import Refused
from tributary.frame import Block
from tributary.tokens import Token


class Lookup(msgspec.Struct):
    """Series and devices of a request that this process does not know, by partition."""

    devices: dict[int, dict[str, None]]
    series: dict[int, dict[tuple[str, str], None]]
    token: Token | None

    def commands(self) -> list[tuple[int, tuple[str, ...]]]:
        """What to ask Redis, each with its partition; `Caps.settle` takes the replies in order."""
        return [
            command
            for p, series in self.series.items()
            for command in (
                (p, ("ZMSCORE", keys.devices(p), *self.devices[p])),
                (p, ("HMGET", keys.state(p), *(keys.series(*each) for each in series))),
            )
        ]


def devices_of(block: Block) -> list[str]:
    """The devices of a block, each once."""
    return [block.device] if isinstance(block.device, str) else list(dict.fromkeys(block.device))


def without(
    accepted: Accepted, refused: dict[tuple[str, str], Refused], rejected: list[Refused] | None
) -> Accepted:
    """The readings that hold no refused series."""
    kept: dict[int, list[Block]] = {}
    readings = 0
    for partition, blocks in accepted.blocks.items():
        for block in blocks:
            problems = {
                device: refused[device, metric]
                for device in devices_of(block)
                for metric in block.metrics
                if (device, metric) in refused
            }
            if rejected is not None:
                rejected += _each_reading(block, problems)
            left = block if not problems else _rest(block, problems.keys())
            if left is not None:
                kept.setdefault(partition, []).append(left)
                readings += frame.readings_in([left])
    return Accepted(kept, readings, accepted.is_batch)


def _each_reading(block: Block, problems: dict[str, Refused]) -> list[Refused]:
    """The refusal of each reading of a block that has one."""
    if isinstance(block.device, str):
        return [*problems.values()] * frame.readings_in([block])
    return [problems[device] for device in block.device if device in problems]


def _rest(block: Block, devices: Collection[str]) -> Block | None:
    """A block without the readings of some of its devices."""
    if isinstance(block.device, str):
        return None
    rows = [row for row, device in enumerate(block.device) if device not in devices]
    if not rows:
        return None

    def picked(column: float | bytes) -> bytes:
        assert isinstance(column, bytes)
        return b"".join(column[row * 8 : row * 8 + 8] for row in rows)

    return Block(
        [block.device[row] for row in rows],
        picked(block.recorded_at_ms),
        {name: picked(column) for name, column in block.metrics.items()},
    )
