"""Reads series from the history, for few requests at a time.

The database is opened by the first request that needs it, in the process that serves it. A slow
one occupies only as many threads as `ConcurrencyLimit` allows; the lane never waits for it.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import event

from api.read.aggregate_store import Applied
from api.read.query import NO_CELLS, Cells
from api.read.sources import Kept, Part
from tributary.auth.tokens import Token
from tributary.errors import Misconfigured, NoHistory, Unavailable
from tributary.history import reads
from tributary.history.database import Database
from tributary.history.retention import keep_of
from tributary.history.schema import RESOLUTIONS
from tributary.history.store import Gap, Position, positions
from tributary.http.flask_app import ConcurrencyLimit
from tributary.settings import Settings
from tributary.store import keys
from tributary.store.outage import Outage

GAPS_MAX = 100
STATEMENT_MAX_MS = 5_000  # a client waits for the response
_NEVER_MS = 2**62
_STEPS_PER_CHECK = 10_000  # of SQLite's virtual machine, about a millisecond


class Found(NamedTuple):
    """What the history has of a series in a time span."""

    cells: Cells
    complete_until_ms: int | None  # every reading accepted before is included; None: none is
    gaps: list[Gap]  # the newest that may belong to it


class HistoryStore:
    """Reads the history. Thread-safe; methods raise `Unavailable` if it cannot reply."""

    def __init__(self, settings: Settings) -> None:
        timeout_ms = min(settings.history_timeout_ms, STATEMENT_MAX_MS)
        self._settings = msgspec.structs.replace(settings, history_timeout_ms=timeout_ms)
        self._limit = ConcurrencyLimit(max(1, settings.http_threads // 2), "history requests")
        self._opening = threading.Lock()
        self._database: Database | None = None
        self._outage = Outage("history")
        lengths = keep_of(settings)
        self.kept = tuple(
            Kept(resolution.slot_ms, keep_ms)
            for resolution, keep_ms in zip(RESOLUTIONS, lengths, strict=True)
            if settings.history != "off"
        )

    def metrics(self, device: str, token: Token | None) -> list[str]:
        """The metrics of a device in the history; none if it does not exist yet, or is off."""
        if not self.kept:
            return []
        try:
            with self._reading(token) as database:
                return reads.series_of(database, device)
        except NoHistory:
            return []

    def read(
        self,
        device: str,
        metric: str,
        parts: Sequence[Part],
        applied: Applied,
        token: Token | None,
    ) -> Found:
        """The slots of all parts.

        Args:
            device: name.
            metric: name.
            parts: of the history, by time; at least one.
            applied: what the aggregates of the partition contained, read before this.
            token: of the request.
        """
        partition = keys.partition_of(device, self._settings.partitions)
        try:
            with self._reading(token) as database:
                # First: the rows contain at least what the position says.
                position = positions(database).get(partition, Position())
                oldest_ms = parts[0].begin_ms - self._settings.future_max_ms
                gaps = reads.gaps(database, oldest_ms, _NEVER_MS, partition)[-GAPS_MAX:]
                cells = NO_CELLS
                for part in parts:
                    bounds = part.slot_ms, part.begin_ms, part.end_ms
                    cells = cells.plus(Cells(*reads.read(database, device, metric, *bounds)))
        except NoHistory:
            raise Unavailable(
                "slots of this time span are in the history, and this process finds none; start "
                "`tributary jobs`, which creates it, or correct TRIBUTARY_HISTORY_URL or "
                "TRIBUTARY_DATA_DIR of this process"
            ) from None
        return Found(cells, applied.complete_until_ms(position), gaps)

    def close(self) -> None:
        """Close the connections that are not in use."""
        with self._opening:
            if self._database is not None:
                self._database.close()
                self._database = None

    @contextmanager
    def _reading(self, token: Token | None) -> Iterator[Database]:
        with self._limit.acquire(token):
            try:
                yield self._open()
            except (Misconfigured, Unavailable) as error:
                self._outage.begin(error)  # its text has the address
                raise Unavailable(
                    "the history (TRIBUTARY_HISTORY_URL) is unavailable or too slow; the log of "
                    "this server has the reason"
                ) from error
            self._outage.end()

    def _open(self) -> Database:
        with self._opening:
            if self._database is None:
                database = Database.open(self._settings, migrate=False)
                database.close()  # its connections are not read-only yet
                event.listen(database.engine, "connect", _make_read_only)
                event.listen(database.engine, "begin", self._begin)
                self._database = database
            return self._database

    def _begin(self, connection: Any) -> None:
        """Limit the time of a transaction of SQLite; PostgreSQL has limits of its own."""
        raw = connection.connection.driver_connection
        if isinstance(raw, sqlite3.Connection):
            deadline_s = time.monotonic() + self._settings.history_timeout_ms / 1000
            raw.set_progress_handler(lambda: time.monotonic() > deadline_s, _STEPS_PER_CHECK)


def _make_read_only(raw: Any, _: object) -> None:
    if isinstance(raw, sqlite3.Connection):
        raw.execute("PRAGMA query_only = ON")
    else:
        raw.execute("SET default_transaction_read_only = on")
        raw.commit()
