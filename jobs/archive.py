"""The job that moves what the aggregators have applied into the history, one partition per job.

Its position is a row of the database and is changed in the transaction that adds the readings.
So it may be killed anywhere, run again, or run twice at once: every entry counts once.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

from loguru import logger

from jobs import piece as piece_
from jobs import raw_check
from jobs.partition_stream import Extent, PartitionStream
from jobs.piece import Forget, Part, Piece
from jobs.raw import RawDirectory
from jobs.raw_change import RawChange
from tributary import failpoints
from tributary.history import reads, slots, store
from tributary.history.database import Database
from tributary.history.position import Position
from tributary.history.store import Transaction
from tributary.model import catalogue, clock
from tributary.settings import Settings
from tributary.store import redis_client

JOB_S = 20.0  # a job ends with the piece that reaches this age; the next one continues


class Done(NamedTuple):
    """What a job has added to the history."""

    entries: int = 0
    readings: int = 0
    gaps: int = 0
    is_complete: int = 1  # 0: there is more to read


def run(
    settings: Settings, partition: int, *, clock_s: Callable[[], float] = time.monotonic
) -> dict[str, int]:
    """Add to the history what a partition has applied since its position there.

    Returns:
        The fields of `Done`.

    Raises:
        Unavailable: Redis or the database is, or a permission is missing; run it again.
        Misconfigured: an operator must act.
    """
    if settings.history == "off":
        return Done()._asdict()
    raw_check.check(settings)
    until_s = clock_s() + JOB_S
    with (
        contextlib.closing(redis_client.connect(settings)) as client,
        contextlib.closing(Database.open(settings, migrate=True)) as db,
    ):
        files = RawDirectory(settings.raw_dir, partition) if settings.raw_dir else None
        left_out = catalogue.load(settings.metrics_file).kept_as("latest", "windows")
        stream = PartitionStream(client, partition)
        archive = Archive(db, stream, partition, files, left_out=left_out)
        while archive.step() and clock_s() < until_s:
            pass
        return archive.done._asdict()


class Archive:
    """The history of one partition, and the stream that it follows."""

    def __init__(
        self,
        db: Database,
        stream: PartitionStream,
        partition: int,
        files: RawDirectory | None = None,
        *,
        left_out: Collection[str] = (),
    ) -> None:
        """`files`: where to write raw readings; None: nowhere. `left_out`: metrics, from slots."""
        self._left_out = left_out
        self.done = Done()
        self._files = files
        self._db = db
        self._stream = stream
        self._partition = partition

    def step(self) -> bool:
        """Add one piece; return whether there may be more."""
        extent = self._stream.extent()
        position = store.positions(self._db).get(self._partition, Position())
        entries, is_last = self._stream.read(position.entry_id, extent.last)
        failpoints.reach("after_archive_read")
        if entries:
            piece = piece_.sort_out(
                entries, position, buried=extent.buried, survived=extent.survived
            )
            # Before the piece is committed: whoever reads it knows which readings it lacks.
            self._stream.note_left_out(piece_.metrics(piece) & set(self._left_out), piece.position)
        else:
            piece = Piece(position, position, [], [])
        if is_last:
            piece = _with_missing(piece, extent)
        is_mine = piece.position == position or self._add(piece)
        if is_mine:
            self._publish(piece.position, extent)
            self._count(piece, len(entries), is_last=is_last)
        return not (is_mine and is_last)

    def _add(self, piece: Piece) -> bool:
        """Commit a piece, unless another worker has been faster; return whether it was committed."""
        read = {step.entry_id for step in piece.steps if isinstance(step, Forget)}
        forgotten = self._stream.forgotten() if read or piece.gaps else {}
        missed = list(piece_.missed(piece, forgotten.keys() - read))
        here = {id_: devices for id_, devices in forgotten.items() if id_ in read | {*missed}}
        with (
            RawChange.prepared(self._db, self._files, piece, here) as raw_change,
            store.begin(self._db, self._partition) as transaction,
        ):
            if transaction.position != piece.after or not raw_change.apply(transaction):
                return False
            for entry_id in missed:
                transaction.delete_devices(forgotten[entry_id])
            for step in piece.steps:
                self._apply(transaction, step, forgotten)
            for gap in piece.gaps:
                transaction.note_gap(gap)
            transaction.advance(piece.position)
            failpoints.reach("before_archive_commit")
        failpoints.reach("after_archive_commit")
        raw_change.committed()
        return True

    def _apply(
        self, transaction: Transaction, step: Part | Forget, forgotten: dict[str, tuple[str, ...]]
    ) -> None:
        if isinstance(step, Forget):
            transaction.delete_devices(forgotten.get(step.entry_id, ()))
            return
        series, repeats, times_ms, values, *_ = step.without(self._left_out)
        if len(values):
            transaction.merge(slots.summarize(series, repeats, times_ms, values, slots.MINUTE_MS))

    def _publish(self, position: Position, extent: Extent) -> None:
        """Publish the position and the gaps unless Redis has them."""
        gaps = map(str, reads.count_gaps(self._db, self._partition))
        figures = (position.entry_id, str(position.entries), *gaps)
        if figures != extent.published:
            self._stream.publish(figures)
        failpoints.reach("after_archive_published")

    def _count(self, piece: Piece, entries: int, *, is_last: bool) -> None:
        before = self.done
        self.done = Done(
            before.entries + entries,
            before.readings + piece.readings,
            before.gaps + len(piece.gaps),
            int(is_last),
        )
        log = logger.bind(partition=self._partition)
        for gap in piece.gaps:
            log.bind(action="history_gap", **gap._asdict()).warning(
                "entries were trimmed before they were in the history"
            )
        if piece.restarts:
            log.bind(action="numbers_restarted", times=piece.restarts).warning(
                "Redis had lost its last entries, and numbers them again"
            )


def _with_missing(piece: Piece, extent: Extent) -> Piece:
    """The piece and what is missing between it and the end of what the aggregators have done."""
    if extent.done is None:
        return piece
    gap = piece_.missing_behind(piece.position, extent.done, clock.utc_ms())
    if gap is None:
        return piece
    position = Position(piece.position.entry_id, *extent.done)
    return piece._replace(position=position, gaps=[*piece.gaps, gap])
