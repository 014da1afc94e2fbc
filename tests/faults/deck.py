"""The order of the faults of a storm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random


def shuffled(faults: Sequence[str], random: Random) -> Iterator[str]:
    """Faults in random order without end; in each round as often as they are listed."""
    while True:
        yield from random.sample(faults, len(faults))
