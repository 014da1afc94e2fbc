"""The cycle: what has arrived from every owned partition is decoded, folded and committed.

All partitions of a worker are folded together, since a fold costs much the same for one
reading as for a hundred; each is committed by itself, on its own connection.
"""

from __future__ import annotations

import asyncio

import numpy as np

from aggregator import changes
from aggregator.account import Entry, Sorted, sort_out, without_late
from aggregator.decode import Columns
from aggregator.fold import Folded, fold
from aggregator.groups import Ints, Readings
from aggregator.table import Table
from aggregator.tenure import Tenure
from tributary import faults, keys
from tributary.aggregate import Layout
from tributary.errors import TributaryError
from tributary.settings import Settings

_NO_ROWS: Ints = np.empty(0, np.int64)


class Batch:
    """The entries of one read of one partition, on their way through a turn."""

    def __init__(self, tenure: Tenure, sorted_: Sorted) -> None:
        self.tenure = tenure
        self.sorted = sorted_
        self.rows = _NO_ROWS  # of the table, one per value

    @property
    def columns(self) -> Columns | None:
        """The values to fold, if any."""
        return self.sorted.columns


class Cycle:
    """The inbox of a worker, its table, and the turns that empty the one into the other."""

    def __init__(self, settings: Settings) -> None:
        self._layout = Layout(settings.parsed_windows, settings.average_over)
        self._table = Table(self._layout, settings.series_cached_max)
        self._inbox: list[tuple[Tenure, list[Entry]]] = []
        self._has_arrived = asyncio.Event()
        self._void: set[int] = set()

    def arrive(self, tenure: Tenure, entries: list[Entry]) -> None:
        """Put the entries of a read into the inbox."""
        self._inbox.append((tenure, entries))
        self._has_arrived.set()

    def void(self, partition: int) -> None:
        """Forget a partition before the next turn; a turn under way may still hold its rows.

        Nothing is awaited here: a task that is cancelled while it gives up a partition must
        not leave rows behind for the next tenure.
        """
        self._void.add(partition)

    async def run(self) -> None:
        """Turn until cancelled."""
        while True:
            await self._has_arrived.wait()
            self._has_arrived.clear()
            await self._turn()

    async def _turn(self) -> None:
        while self._void:
            self._table.drop(self._void.pop())
        arrived, self._inbox = self._inbox, []
        faults.reach("after_read")
        self._table.begin_batch()
        batches = [
            Batch(tenure, sort_out(entries, tenure.counts))
            for tenure, entries in arrived
            if not tenure.is_over
        ]
        await asyncio.gather(*(self._load(batch) for batch in batches))
        faults.reach("after_load")
        batches = [batch for batch in batches if not batch.tenure.is_over]
        folded = self._fold([batch for batch in batches if batch.columns is not None])
        faults.reach("after_fold")
        first = 0
        for batch in batches:
            batch.tenure.commit(self._changes(batch, folded, first))
            first += len(batch.rows)

    async def _load(self, batch: Batch) -> None:
        """Give every series of the batch a row, from Redis if it is not in memory."""
        columns, partition = batch.columns, batch.tenure.partition
        if columns is None:
            return
        unseen = self._table.unseen(partition, columns.series)
        if unseen.series:
            fields = [keys.series(device, metric) for device, metric in unseen.series]
            wanted = [
                (keys.state(partition), fields),
                (keys.windows(partition), fields),
                (keys.latest(partition), unseen.devices),
            ]
            try:
                loaded = await batch.tenure.load(wanted)
            except TributaryError as error:
                batch.tenure.end(error)
                return
            self._table.load(partition, unseen, *loaded)
        rows = map(self._table.rows(partition).__getitem__, columns.series)
        batch.rows = np.repeat(np.fromiter(rows, np.int64), columns.repeats)
        self._table.use(batch.rows)

    def _fold(self, batches: list[Batch]) -> Folded | None:
        columns = [batch.columns for batch in batches if batch.columns is not None]
        if not columns:
            return None
        readings = Readings(
            np.concatenate([batch.rows for batch in batches]),
            np.concatenate([column.times_ms for column in columns]),
            np.concatenate([column.values for column in columns]),
        )
        return fold(self._layout, self._table.state, self._table.rings, readings)

    def _changes(self, batch: Batch, folded: Folded | None, first: int) -> changes.Changes:
        columns, counts = batch.columns, batch.sorted.counts
        if columns is None or folded is None:
            return changes.none(batch.sorted, counts)
        late = folded.late[(folded.late >= first) & (folded.late < first + len(batch.rows))]
        counts = without_late(columns, late - first, counts)
        empty = changes.none(batch.sorted, counts)
        return changes.of(self._table, batch.tenure.partition, folded, empty)
