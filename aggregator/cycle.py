"""The cycle: entries from every owned partition are decoded, folded and committed.

All partitions of a worker are folded together, since a fold costs about the same for one
reading as for a hundred; each is committed by itself, on its own connection. A turn is bounded
(aggregator/pace.py), and every partition has its share of it: what does not fit waits for the
next turn, in which the others have their share again. Nothing else in this process waits for
longer than one step of a turn: heartbeats, reads and replies are handled between the steps.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from functools import partial

import numpy as np

from aggregator import changes, together
from aggregator.alerts.rules import Rules
from aggregator.alerts.watch import Turns, Watch
from aggregator.changes import Changes
from aggregator.decode import Entry
from aggregator.mover import Mover
from aggregator.pace import Pace, Share
from aggregator.parts import ATTEMPTS, FAILURES
from aggregator.slow_turn import SlowTurns
from aggregator.sweep import Sweeps
from aggregator.table import Table
from aggregator.tenure import Tenure
from aggregator.work import PartitionBatch, Work
from tributary import failpoints
from tributary.errors import ConnectionGone, TributaryError
from tributary.model.clock import utc_ms
from tributary.model.counter import Clock
from tributary.model.rows import Shape
from tributary.settings import Settings

_PARTS_PER_TURN = 8  # of entries that are applied alone
_ASIDE_PART = 4  # one part in 4 of a turn is for entries that stepped aside
_SHARE_MIN_VALUES = 64  # per partition and turn; with too many partitions, some wait
_CONFIRM_TIMEOUT_S = 5.0


class Cycle:
    """The entries that wait to be applied, the table, and the turns that apply them to it."""

    def __init__(
        self, settings: Settings, shape: Shape, rules: Rules, latest: Collection[str] = ()
    ) -> None:
        self._settings = settings
        self._new_table = partial(Table, shape, settings.series_cached_max, rules, latest)
        self._table = self._new_table()
        self._movers: list[Mover] = []
        self._works: list[Work] = []  # one read per partition, and what stepped aside
        self._is_due = asyncio.Event()
        self._turns = Turns(asyncio.Lock(), lambda: self._table)
        self._sweeps = Sweeps(latest, self._is_due.set)
        self._void: set[int] = set()
        self._pace = Pace()
        self._slow_turns = SlowTurns()

    def arrive(self, tenure: Tenure, entries: list[Entry], recovered: int) -> None:
        """Queue the entries of a read; an earlier owner has read the first ones, too."""
        tenure.on_committed = self._is_due.set
        self._works.append(Work(tenure, entries, recovered))
        self._is_due.set()

    def begin(self, tenure: Tenure) -> None:
        """Look after the stored series of a partition: move those of format 2, and sweep all."""
        tenure.on_committed = self._is_due.set
        self._movers += [Mover(tenure)] if tenure.rows.series_in_format_2 else []
        self._sweeps.add(tenure)
        self._is_due.set()

    async def watch(self, tenure: Tenure) -> None:
        """Look for silent series of a partition, and apply the rules for alerts if they changed."""
        await Watch(tenure, self._turns).run()

    def void(self, partition: int) -> None:
        """Drop a partition before the next turn; the current turn may still use its rows.

        Nothing is awaited here: a task that is cancelled while it releases a partition must
        not leave rows behind for the next tenure.
        """
        self._void.add(partition)

    def slow_down(self) -> None:
        """A tenure has ended because its replies took too long: halve the next turn."""
        self._pace.halve()

    async def run(self) -> None:
        """Run turns until cancelled."""
        while True:
            await self._is_due.wait()
            self._is_due.clear()
            async with self._turns.lock:
                await self._turn()
            await asyncio.sleep(0)  # let the loop handle everything else

    async def _turn(self) -> None:
        while self._void:
            self._table.drop(self._void.pop())
        if self._table.is_outgrown:  # everything in it is in Redis
            self._table = self._new_table()
        works, self._works = [work for work in self._works if work.is_left], []
        movers, self._movers = self._movers, []
        if works:
            failpoints.reach("after_read")
        ready = [work for work in works if work.tenure.is_ready]
        together = [work for work in ready if not (work.alone or work.is_aside)]
        # The first partitions, as many as can have a share of at least `_SHARE_MIN_VALUES`.
        together = together[: max(1, self._pace.values_max // _SHARE_MIN_VALUES)]
        if together:
            await self._apply_together(together, self._pace.turn())
        # Checked again: the commits just sent may have to be confirmed first.
        aside = [w for w in ready if w.is_aside and not w.alone and w.tenure.is_ready]
        if aside:
            await self._apply_together(aside, self._pace.turn().share(_ASIDE_PART))
        for work in ready:
            if work.alone:
                await self._apply_alone(work)
        self._movers += [mover for mover in movers if await mover.turn(self._table)]
        await self._sweeps.turn(self._table)
        # Those that had their turn go to the end of the queue.
        had_turn = {id(work) for work in (*together, *aside)}
        works.sort(key=lambda work: id(work) in had_turn)
        left = [work for work in works if work.is_left]
        self._works = left + self._works
        if any(work.tenure.is_ready for work in left):
            self._is_due.set()

    async def _apply_together(self, works: list[Work], share: Share) -> None:
        began_s, busy_s = time.monotonic(), time.thread_time()
        self._table.begin_batch()
        batches: list[PartitionBatch] = []
        try:
            batches = self._decoded(works, share)
            await self._apply(batches)
        except FAILURES:
            # Nothing was committed, but rows may be half folded.
            for work in works:
                self._table.drop(work.tenure.partition)
                work.failed()
        values = sum(batch.values for batch in batches)
        self._pace.took(time.thread_time() - busy_s, values)
        self._slow_turns.report(time.monotonic() - began_s, batches)

    def _decoded(self, works: list[Work], left: Share) -> list[PartitionBatch]:
        """Decode a share of the turn for each partition, and find the series not in memory."""
        batches: list[PartitionBatch] = []
        # A small one leaves the rest of its share to the larger ones behind it.
        for number, work in enumerate(sorted(works, key=lambda w: w.size_bytes)):
            may_begin = left.size_bytes > 0 or not batches
            batch = self._bounded(work, left.share(len(works) - number), may_begin=may_begin)
            if batch is not None:
                batches.append(batch)
                left = left.less(batch.decoded_bytes, batch.values, len(batch.unseen.series))
        taken_bytes = sum(batch.work.taken_bytes for batch in batches if batch.values)
        self._pace.decoded(taken_bytes, sum(batch.values for batch in batches))
        return batches

    def _bounded(
        self, work: Work, share: Share, *, may_begin: bool = True
    ) -> PartitionBatch | None:
        """Decode less and less of a partition until it does not exceed its share.

        None: a large entry must wait for another of its partition, or for the next turn.
        """
        bytes_max, decoded_bytes = share.size_bytes, 0
        partition = work.tenure.partition
        scan = partial(self._table.scan, partition)
        while True:
            sorted_ = work.next(bytes_max, may_begin=may_begin, scan=scan)
            if sorted_ is None:
                return None
            decoded_bytes = max(decoded_bytes, work.decoded_bytes)
            batch = PartitionBatch(work, sorted_, decoded_bytes)
            if batch.columns is None:
                return batch
            if batch.columns.rows is None:
                batch.rows, batch.unseen = self._table.find(partition, batch.columns.series)
            unseen = len(batch.unseen.series)
            if share.excess(0, int(unseen * work.slices(batch.columns.readings))) > 1:
                return PartitionBatch(work, work.step_aside(sorted_), decoded_bytes)
            excess = share.excess(batch.values, unseen)
            if excess <= 1 or batch.columns.readings == 1:
                return batch
            bytes_max = max(work.first_bytes, int(min(bytes_max, work.taken_bytes) / excess))

    async def _apply(self, batches: list[PartitionBatch]) -> None:
        """Load, fold and commit."""
        await asyncio.gather(*(self._load_missing(batch) for batch in batches))
        failpoints.reach("after_load")
        batches = [batch for batch in batches if not batch.tenure.is_over]
        for batch in batches:
            self._assign_rows(batch)
            await asyncio.sleep(0)
        clock = Clock(utc_ms(), self._settings.future_max_ms)
        folded = together.fold_batches(self._table, batches, clock)
        failpoints.reach("after_fold")
        applied = list[Changes]()
        for some in together.applied(self._table, batches, folded, clock.now_ms):
            applied += some
            await asyncio.sleep(0)
        for batch, change in zip(batches, applied, strict=True):
            if (aside := batch.work.commit(change)) is not None:
                self._works.append(aside)
            await asyncio.sleep(0)  # it is sent while the next is packed

    async def _apply_alone(self, work: Work) -> None:
        """Apply a few entries that may fail, apart from all others."""
        for _ in range(_PARTS_PER_TURN):
            if not (work.alone and work.is_left and work.tenure.is_ready):
                return
            try:
                await self._apply_part(work)
            except FAILURES as error:
                self._table.drop(work.tenure.partition)
                if work.failed():
                    reason = f"failed {ATTEMPTS} times: {type(error).__name__}: {error}"
                    work.commit(changes.counts_only(work.buried(reason)))
            except TributaryError as error:
                work.tenure.end(error)
            await asyncio.sleep(0)

    async def _apply_part(self, work: Work) -> None:
        if work.is_recovered:
            attempt = await work.attempt()
            if attempt.is_hopeless:
                reason = f"crashed the process {ATTEMPTS} times, each time applied alone"
                work.commit(changes.counts_only(work.buried(reason)))
                return
        self._table.begin_batch()
        batch = self._bounded(work, self._pace.turn())
        await self._apply([] if batch is None else [batch])
        if work.is_recovered:
            # Until the record is removed: the next entry might crash the process as well.
            try:
                async with asyncio.timeout(_CONFIRM_TIMEOUT_S):
                    await work.tenure.confirmed()
            except TimeoutError:
                raise ConnectionGone(f"no reply to a commit in {_CONFIRM_TIMEOUT_S} s") from None

    async def _load_missing(self, batch: PartitionBatch) -> None:
        """Load the series of the batch that are not in memory, in one round trip."""
        if not batch.unseen.series:
            return
        try:
            batch.loaded = await batch.tenure.rows.load(*batch.unseen)
        except TributaryError as error:
            batch.tenure.end(error)

    def _assign_rows(self, batch: PartitionBatch) -> None:
        """Assign every value of the batch the row of its series."""
        columns, partition = batch.columns, batch.tenure.partition
        if columns is None or columns.rows is not None:
            return
        if batch.unseen.series:
            batch.new_devices = self._table.load(partition, batch.unseen, *batch.loaded)
            batch.rows, _ = self._table.find(partition, columns.series)
        batch.rows = np.repeat(batch.rows, columns.repeats)
