"""Removes slots that are older than the history keeps."""

from __future__ import annotations

from tributary.history.database import Database
from tributary.history.failures import translated
from tributary.history.keep import Keep
from tributary.history.schema import DAYS, HOURS, MINUTES
from tributary.history.slots import DAY_MS


def prune(db: Database, now_ms: int, keep: Keep) -> int:
    """Remove slots that ended longer ago than they are kept; returns the number of rows.

    Whole days are kept, UTC, so that slots of any width can be made of the oldest ones.
    It is repeatable, and does not hold up writers: SQLite deletes in short transactions;
    PostgreSQL drops a partition once it has ended, so it keeps up to a week more of the minutes,
    13 weeks of the hours and 52 weeks of the days, and the rows of partitions of more than
    64 MiB are estimated by their size; with TimescaleDB the number is 0.

    Raises:
        Unavailable: the database is, or a reader of an old partition takes too long.
    """
    removed = 0
    for resolution, kept_ms in zip((MINUTES, HOURS, DAYS), keep, strict=True):
        if kept_ms is not None:
            with translated(db.address):
                before_ms = (now_ms - kept_ms) // DAY_MS * DAY_MS
                removed += db.dialect.remove_before(db.engine, resolution, before_ms)
    return removed
