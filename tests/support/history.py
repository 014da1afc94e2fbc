"""Archives at once, without the schedule of the jobs role."""

from __future__ import annotations

from jobs import archive as job
from tributary.settings import Settings


def archive(settings: Settings) -> None:
    """Add to the history what the aggregators have applied."""
    for partition in range(settings.partitions):
        job.run(settings, partition)
