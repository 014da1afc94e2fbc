"""The cycle: what has arrived from every owned partition is decoded, folded and committed.

All partitions of a worker are folded together, since a fold costs much the same for one
reading as for a hundred; each is committed by itself, on its own connection.
"""

from __future__ import annotations

import asyncio

import numpy as np

from aggregator import changes
from aggregator.account import Entry, Sorted, bury, sort_out, without_late
from aggregator.decode import Columns
from aggregator.fold import Folded, fold
from aggregator.groups import Ints, Readings
from aggregator.parts import ATTEMPTS, FAILURES, Parts
from aggregator.table import Table, Unseen
from aggregator.tenure import Tenure
from tributary import faults, keys
from tributary.aggregate import Layout
from tributary.errors import TributaryError
from tributary.settings import Settings

_NO_ROWS: Ints = np.empty(0, np.int64)
_PARTS_A_TURN = 8


class Batch:
    """The entries of one read of one partition, on their way through a turn."""

    def __init__(self, tenure: Tenure, sorted_: Sorted) -> None:
        self.tenure = tenure
        self.sorted = sorted_
        self.unseen = Unseen([], [])
        self.loaded: list[list[bytes | None]] = [[], [], []]  # of `unseen`: what Redis holds
        self.rows = _NO_ROWS  # of the table, one per value

    @property
    def columns(self) -> Columns | None:
        """The values to fold, if any."""
        return self.sorted.columns


class Cycle:
    """The inbox of a worker, its table, and the turns that empty the one into the other."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._layout = Layout(settings.parsed_windows, settings.average_over)
        self._table = Table(self._layout, settings.series_cached_max)
        self._inbox: list[tuple[Tenure, list[Entry]]] = []
        self._in_parts: list[tuple[Tenure, Parts]] = []
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
        if self._table.is_outgrown:  # what it held stands in Redis
            self._table = Table(self._layout, self._settings.series_cached_max)
        self._table.begin_batch()
        live = [(tenure, entries) for tenure, entries in arrived if not tenure.is_over]
        try:
            applied = await self._apply(live)
        except FAILURES:
            # Nothing is committed, but rows may be folded by half.
            for tenure, entries in live:
                self._table.drop(tenure.partition)
                self._in_parts.append((tenure, Parts(entries)))
        else:
            for tenure, change in applied:
                tenure.commit(change)
        self._in_parts = [each for each in self._in_parts if await self._apply_parts(*each)]
        if self._in_parts:
            self._has_arrived.set()

    async def _apply(
        self, arrived: list[tuple[Tenure, list[Entry]]]
    ) -> list[tuple[Tenure, changes.Changes]]:
        """Decode and fold entries; what is to be committed of each partition."""
        batches = [Batch(tenure, sort_out(entries, tenure.counts)) for tenure, entries in arrived]
        await asyncio.gather(*(self._ask(batch) for batch in batches))
        faults.reach("after_load")
        batches = [batch for batch in batches if not batch.tenure.is_over]
        for batch in batches:
            self._seat(batch)
        folded = self._fold([batch for batch in batches if batch.columns is not None])
        faults.reach("after_fold")
        applied, first = [], 0
        for batch in batches:
            applied.append((batch.tenure, self._changes(batch, folded, first)))
            first += len(batch.rows)
        return applied

    async def _apply_parts(self, tenure: Tenure, parts: Parts) -> bool:
        """Commit what can be applied, and bury what cannot; whether something is left.

        A few parts at a time: others, whose entries are good, have their turn in between.
        """
        for _ in range(_PARTS_A_TURN):
            if not parts or tenure.is_over:
                return False
            try:
                sent = [change for _, change in await self._apply([(tenure, parts.next)])]
            except FAILURES as error:
                self._table.drop(tenure.partition)
                if not parts.failed():
                    continue
                reason = f"failed {ATTEMPTS} times: {type(error).__name__}: {error}"
                dead = bury(parts.next[0], tenure.counts, reason)
                sent = [changes.none(dead, dead.counts)]
            parts.done()
            for change in sent:
                (tenure.commit_part if parts else tenure.commit)(change)
        return bool(parts) and not tenure.is_over

    async def _ask(self, batch: Batch) -> None:
        """Ask Redis for what is not in memory of the batch's series: one round trip."""
        columns, partition = batch.columns, batch.tenure.partition
        if columns is None:
            return
        batch.unseen = self._table.unseen(partition, columns.series)
        if not batch.unseen.series:
            return
        fields = [keys.series(device, metric) for device, metric in batch.unseen.series]
        wanted = [
            (keys.state(partition), fields),
            (keys.windows(partition), fields),
            (keys.latest(partition), batch.unseen.devices),
        ]
        try:
            batch.loaded = await batch.tenure.load(wanted)
        except TributaryError as error:
            batch.tenure.end(error)

    def _seat(self, batch: Batch) -> None:
        """Give every value of the batch the row of its series."""
        columns, partition = batch.columns, batch.tenure.partition
        if columns is None:
            return
        self._table.load(partition, batch.unseen, *batch.loaded)
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
