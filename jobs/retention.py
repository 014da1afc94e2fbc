"""The job that removes slots of the history that are older than the settings keep."""

from __future__ import annotations

import contextlib

from tributary.history.database import Database
from tributary.history.keep import keep_of
from tributary.history.retention import prune
from tributary.model import clock
from tributary.settings import Settings


def run(settings: Settings) -> int:
    """Remove old slots; returns the number of rows.

    Raises:
        Unavailable: the database is; run it again.
        Misconfigured: an operator must act.
    """
    with contextlib.closing(Database.open(settings, migrate=True)) as db:
        return prune(db, clock.utc_ms(), keep_of(settings))
