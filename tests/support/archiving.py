"""Readings on their way into the history and its raw files, in tests."""

from __future__ import annotations

from random import Random

import redis

from jobs import archive, compact
from support import folding
from tributary.settings import Settings


def archived(settings: Settings) -> None:
    """Archive partition 0 as far as it is applied."""
    while not archive.run(settings, 0)["is_complete"]:
        pass


def advance(random: Random, settings: Settings, client: redis.Redis) -> None:
    """Apply the readings of partition 0; often archive them, too, and sometimes merge files."""
    folding.aggregate(settings, client)
    if random.random() < 0.8:
        archived(settings)
    if random.random() < 0.3:
        compact.run(settings, 0)
