"""Reads series from the history, for few requests at a time.

The database is opened by the first request that needs it, in the process that serves it. A slow
one occupies only as many threads as `ConcurrencyLimit` allows; the lane never waits for it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from api.read.aggregate_store import Applied
from api.read.query import Cells
from api.read.sources import Kept, Part
from tributary.auth.tokens import Token
from tributary.errors import Misconfigured, NoHistory, Unavailable
from tributary.history.keep import keep_of
from tributary.history.position import Gap
from tributary.history.slots import DAY_MS, HOUR_MS, MINUTE_MS
from tributary.http.flask_app import ConcurrencyLimit
from tributary.settings import Settings
from tributary.store import keys
from tributary.store.outage import Outage

if TYPE_CHECKING:
    from tributary.history.database import Database

STATEMENT_MAX_MS = 5_000  # a client waits for the response


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
            Kept(slot_ms, keep_ms)
            for slot_ms, keep_ms in zip((MINUTE_MS, HOUR_MS, DAY_MS), lengths, strict=True)
            if settings.history != "off"
        )

    def metrics(self, device: str, token: Token | None) -> list[str]:
        """The metrics of a device in the history; none if it does not exist yet, or is off."""
        if not self.kept:
            return []
        try:
            with self._reading(token) as database:
                found: list[str] = self._queries.metrics(database, device)
                return found
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
                oldest_ms = parts[0].begin_ms - self._settings.future_max_ms
                queries = self._queries
                position, gaps = queries.position_and_gaps(database, partition, oldest_ms)
                cells = queries.cells(database, device, metric, parts)  # after the position
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
                self._database = self._queries.open_read_only(self._settings)
            return self._database

    @property
    def _queries(self) -> ModuleType:
        """SQLAlchemy takes longer to import than all the rest of an API process."""
        from api.read import history_queries

        return history_queries
