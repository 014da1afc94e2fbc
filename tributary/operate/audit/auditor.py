"""Audits partitions, in as many shares of their series as fit into memory one at a time."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator
from functools import partial

import redis

from tributary.errors import NoHistory, Unavailable
from tributary.history import raw_extra
from tributary.history.database import Database
from tributary.history.raw_rows import RawRows
from tributary.model import clock
from tributary.model.aggregate import Layout
from tributary.operate.audit.collection import Name, TooMany
from tributary.operate.audit.history_rows import HistoryReader
from tributary.operate.audit.report import PartitionReport
from tributary.operate.audit.share import Share, Source
from tributary.settings import Settings

VALUES_MAX = 4_000_000  # held in memory at once, 24 bytes each
_SHARES_MAX = 4_096
Watch = Callable[[int, int], None]  # entries read, and of how many


class Auditor:
    """Audits partitions of one deployment; it only reads."""

    def __init__(  # noqa: PLR0913 (what is audited, and the limits)
        self,
        client: redis.Redis,
        settings: Settings,
        *,
        history: Database | None = None,
        hours: float | None = None,
        share: tuple[int, int] = (0, 1),
        values_max: int = VALUES_MAX,
        now_ms: Callable[[], int] = clock.utc_ms,
    ) -> None:
        """Audit with these sources.

        Args:
            client: of Redis.
            settings: with the partitions and windows of the data.
            history: with the list of raw files; None: only the aggregates are compared.
            hours: how far to go back; None: as far as the stream reaches.
            share: number and count: only this part of the series; documents are compared if it
                is all of them.
            values_max: held in memory at once.
            now_ms: the time, UTC.

        Raises:
            Misconfigured: there are raw files, but no pyarrow to read them.
        """
        layout = Layout(settings.parsed_windows, settings.average_over)
        reader = None if history is None else partial(HistoryReader, history, settings)
        raw = None
        if history is not None and raw_extra.is_needed(settings):
            raw = partial(RawRows, history, settings.raw_dir)
        self._source = Source(
            client, layout, settings.future_max_ms, now_ms, values_max, reader, raw
        )
        self._hours = hours
        self._share = share

    def audit(self, partition: int, watch: Watch = lambda _done, _total: None) -> PartitionReport:
        """Recompute one partition and compare it; what `watch` raises ends it.

        Raises:
            Unavailable: Redis or the database of the history is, or Redis has lost entries
                during the audit.
        """
        shares = 1
        while shares <= _SHARES_MAX:
            try:
                return self._in_shares(partition, shares, watch)
            except TooMany:
                shares *= 2
        raise Unavailable(
            f"partition {partition} has a series with more than {self._source.values_max} readings "
            "in the stream; audit fewer hours with --hours"
        )

    def _in_shares(self, partition: int, shares: int, watch: Watch) -> PartitionReport:
        report = PartitionReport(partition)
        hours = self._hours
        from_ms = None if hours is None else self._source.now_ms() - int(hours * 3_600_000)

        def progressed(number: int, done: int, total: int) -> None:
            watch(number * total + done, shares * total)

        own, count = self._share
        for number in range(shares):
            covers = partial(_is_in, own + number * count, shares * count)
            is_first = number == 0 and count == 1
            share = Share(
                self._source, partition, from_ms, covers,
                is_first=is_first, reports_files=number == 0,
            )  # fmt: skip
            report.merge(share.audit(partial(progressed, number)))
        return report


@contextlib.contextmanager
def history_of(settings: Settings) -> Iterator[Database | None]:
    """The history of a deployment; None if there is none.

    Raises:
        Unavailable, Misconfigured: it cannot be read.
    """
    try:
        database = Database.open(settings, migrate=False)
    except NoHistory:
        yield None
        return
    with contextlib.closing(database):
        yield database


def _is_in(number: int, shares: int, name: Name) -> bool:
    """Whether a series belongs to a share."""
    return zlib.crc32("|".join(name).encode()) % shares == number
