"""Logs turns of the cycle that take too long."""

from __future__ import annotations

import time

from loguru import logger

from aggregator.work import PartitionBatch

_SLOW_TURN_S = 1.0
_REPORT_EVERY_S = 10.0


class SlowTurns:
    """The log of slow turns, at most one line every `_REPORT_EVERY_S`."""

    def __init__(self) -> None:
        self._report_at_s = 0.0

    def report(self, took_s: float, batches: list[PartitionBatch]) -> None:
        """Log a turn if it was slow."""
        now_s = time.monotonic()
        if took_s < _SLOW_TURN_S or now_s < self._report_at_s:
            return
        self._report_at_s = now_s + _REPORT_EVERY_S
        largest = max(batches, key=lambda b: len(b.unseen.series), default=None)
        logger.bind(
            action="slow_turn",
            took_ms=round(took_s * 1000),
            partitions=len(batches),
            values=sum(batch.values for batch in batches),
            new_series=sum(len(batch.unseen.series) for batch in batches),
            partition=None if largest is None else largest.tenure.partition,
            partition_new_series=None if largest is None else len(largest.unseen.series),
        ).warning("slow turn")
