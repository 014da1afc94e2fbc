"""Writes what a stream contains to the history."""

from __future__ import annotations

import redis

from aggregator.account import Counts, sort_out
from tributary.history.database import Database
from tributary.history.slots import MINUTE_MS, summarize
from tributary.history.store import Position, begin
from tributary.settings import Settings
from tributary.store import keys


def archive(settings: Settings, client: redis.Redis) -> None:
    """Add every entry behind the position of its partition."""
    database = Database.open(settings, migrate=True)
    for partition in range(settings.partitions):
        with begin(database, partition) as transaction:
            position = transaction.position
            entries = client.xrange(keys.readings(partition), f"({position.entry_id}")
            if not entries:
                continue
            flat = [
                (id_, [word for pair in fields.items() for word in pair]) for id_, fields in entries
            ]
            found = sort_out(flat, Counts(done_entries=position.entries, done=position.readings))
            columns = found.columns
            if columns is not None:
                transaction.merge(summarize(*columns[:4], MINUTE_MS))
            last = entries[-1][0].decode()
            transaction.advance(Position(last, found.counts.done_entries, found.counts.done))
    database.close()
