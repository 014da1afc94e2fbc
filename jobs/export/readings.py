"""The readings of an export, in order of arrival by partition."""

from __future__ import annotations

from collections.abc import Iterator

import redis

from jobs.export.rows import READINGS, Rows, of_readings
from jobs.export.stream import Stream
from tributary.model.export import Spec
from tributary.operate.exports import Covered
from tributary.settings import Settings


class Readings:
    """What the stream has now."""

    columns = READINGS

    def __init__(self, settings: Settings, client: redis.Redis, spec: Spec) -> None:
        self._spec = spec
        self._streams = [Stream(client, partition) for partition in range(settings.partitions)]

    def pieces(self) -> Iterator[tuple[Rows, float]]:
        """Rows, and which share of the readings has been read after them.

        Raises:
            Unavailable: Redis is.
        """
        total, done = max(1, sum(stream.entries for stream in self._streams)), 0
        for stream in self._streams:
            for batch in stream.batches():
                done += batch.entries
                for part in batch.parts:
                    yield of_readings(part.columns, self._spec, *part[1:]), done / total

    def covered(self) -> Covered:
        """Which readings were there, once all are read."""
        since_ms = max((stream.since_ms for stream in self._streams), default=0)
        until_ms = max((stream.until_ms for stream in self._streams), default=0)
        return Covered(since_ms or None, until_ms or None)
