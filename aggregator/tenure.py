"""One worker's time as owner of a partition: from setting its epoch to the first doubt.

The rules are the proof of exactly-once (docs/decisions): a tenure begins with a new epoch, which
ends every other one, and with the position of the consumer group at `hwm`; entries follow each
other without a hole; they are read, loaded for and committed on one connection; a rejection, an
error or a lost connection ends the tenure, and everything in memory under it is void.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Awaitable, Callable

from loguru import logger

from aggregator.account import Counts, Progress
from aggregator.attempts import Attempt, following
from aggregator.changes import Changes
from aggregator.decode import Entry
from aggregator.owned_rows import OwnedRows
from aggregator.position import Position
from aggregator.timings import Timings
from aggregator.unconfirmed import Unconfirmed
from tributary import failpoints
from tributary.errors import ConnectionGone, Superseded, TributaryError
from tributary.model import alert
from tributary.model.clock import utc_ms
from tributary.store import keys, scripts
from tributary.store.pipe import Pipe, Reply, checked, pack

BLOCK_MS = 1_000
# About what one read returns: one large batch at a time, not a thousand. Each partition of a
# worker holds this much until it is applied.
READ_BYTES = 1_048_576
_FIRST_READ_ENTRIES = 16
_READ_GROWTH = 8  # entries are as large as their senders make them, so reads grow step by step
_READ_LATE_REPLIES_S = 0.05
DEAD_MAX_ENTRIES = 10_000
Ended = Callable[[list[str]], Awaitable[set[str]]]
OnEntries = Callable[["Tenure", list[Entry], int], None]


class Tenure:
    """A partition owned by one worker, until it is over."""

    def __init__(  # noqa: PLR0913 (what it owns, who owns it, and how)
        self,
        partition: int,
        pipe: Pipe,
        worker: str,
        arrived: OnEntries,
        *,
        read_max_entries: int,
        rows: OwnedRows,
        timings: Timings,
    ) -> None:
        """`arrived`: called with entries, and how many of the first were delivered before."""
        self.partition = partition
        self.pipe = pipe
        # What a commit changes may be read again right behind it.
        pipe.is_in_order = True
        self.counts = Counts()
        self.has_committed = False
        self.was_slow = False
        self.stored_rules = ""  # digest of the rules for alerts when it began
        self.progress: Progress | None = None  # of the entry that is applied in slices
        self._is_read_due = False  # behind its next slice
        self.on_committed: Callable[[], None] = lambda: None
        self._attempt: Attempt | None = None
        self._unconfirmed = Unconfirmed(timings)
        self._over: asyncio.Future[TributaryError] = asyncio.get_running_loop().create_future()
        self.rows = rows
        self._worker = worker
        self._arrived = arrived
        self._read_max_entries = read_max_entries
        self._read_entries = min(_FIRST_READ_ENTRIES, read_max_entries)
        self._token = secrets.token_hex(8)  # no epoch is used twice
        self._epochs = itertools.count(1)
        self._epoch = self._new_epoch()
        self._position = Position(self.counts)
        self._readings = keys.readings(partition)

    async def begin(self, ended: Ended | None = None) -> None:
        """End every other tenure, read the counts, and start reading behind `hwm`.

        `ended`: which of some workers have ended; the attempts of others are ignored.

        Raises:
            TributaryError: the server did not reply, or rejected a command.
        """
        command = scripts.begin_tenure(self.partition, new_epoch=self._epoch)
        delivered, begun, fields = await self.pipe.call(*command)
        meta = dict(zip(fields[::2], fields[1::2], strict=True))
        self.counts = Counts.parse(meta)
        self._position = Position(self.counts, delivered)
        self.progress = Progress.parse(meta.get(b"progress"))
        self._attempt = found = Attempt.parse(meta.get(b"attempt"))
        if found is not None:
            gone = await ended([each.decode() for each in found.workers]) if ended else set()
            self._attempt = found.of(gone)
        self.stored_rules = meta.get(b"alert_rules", b"").decode()
        await self.rows.begin(self._epoch)
        failpoints.reach("after_begin")
        if begun:
            self._arrived(self, [begun], 1)
        else:
            self._read()

    @property
    def begun_id(self) -> bytes | None:
        """The entry that is applied in slices and not finished, if there is one."""
        return None if self.progress is None else self.progress.id

    @property
    def is_over(self) -> bool:
        """Whether nothing more may be committed under it."""
        return self._over.done()

    async def reason(self) -> TributaryError:
        """Wait for the end of the tenure, and return its reason."""
        timeout_s = BLOCK_MS / 1000 + 5
        while not self.is_over:
            await asyncio.wait([self._over], timeout=timeout_s)
            # If this process was busy, a reply may have arrived and not been read yet.
            await asyncio.sleep(_READ_LATE_REPLIES_S)
            # Entries that wait for their turn are not waiting for Redis.
            if self.pipe.is_waiting and not self.is_over:
                silent_s = asyncio.get_running_loop().time() - self.pipe.waiting_since_s
                if silent_s > timeout_s:
                    self.was_slow = True
                    self.end(ConnectionGone(f"no reply from Redis for {silent_s:.0f} s"))
        return self._over.result()

    def end(self, reason: TributaryError) -> None:
        """Release the partition; the next owner reads again what is not committed."""
        if not self.is_over:
            self._over.set_result(reason)
        self.pipe.close()
        self._unconfirmed.clear()

    @property
    def is_ready(self) -> bool:
        """Whether another commit may be sent: not before Redis has confirmed the last ones."""
        return not self._unconfirmed.is_full

    async def confirmed(self) -> None:
        """Wait until every commit is confirmed, or the tenure is over."""
        await self._unconfirmed.wait()

    async def attempt(self, first: bytes, entries: int) -> Attempt:
        """Record which entries are applied next, alone; fewer if they may have ended a process.

        Raises:
            TributaryError: the server did not reply, or rejected the command.
        """
        attempt = following(self._attempt, first, entries, self._worker.encode())
        if not attempt.is_hopeless:
            command = scripts.attempt(self.partition, epoch=self._epoch, packed=attempt.packed())
            if await self.pipe.call(*command) != b"ok":
                raise Superseded(f"partition {self.partition} has another owner")
        self._attempt = attempt
        return attempt

    def commit(self, changes: Changes) -> None:
        """Send the changes of a batch, and behind them the next read on the same connection."""
        self.commit_part(changes)
        # Either this batch is applied before the next one is read, or both are void.
        self._read()
        failpoints.reach("after_commit_sent")

    def commit_part(self, changes: Changes) -> None:
        """Send the changes of the first entries of a batch; the rest of it follows."""
        epoch = self._new_epoch()
        numbered, used = self.rows.addresses.commit()
        changed = (*changes.counts.since(self.counts), *self._advance(changes), *changes.notes)
        meta = ["epoch", epoch, *changed, *numbered, *changes.alerts.meta()]
        for metric in changes.writes.began:
            meta += (keys.windows_since(metric), str(utc_ms()))
        for entry in changes.dead:
            buried = {"partition": self.partition, "entry": entry.id.decode()}
            logger.bind(action="buried", **buried, reason=entry.reason).warning("entry buried")
        command = scripts.commit(
            self.partition, epoch=self._epoch, dead_max_entries=DEAD_MAX_ENTRIES,
            transitions_max=alert.LOGGED_MAX, meta=meta, used=used,
            shape=self.rows.shape.row_arguments, **changes.lists(),
        )  # fmt: skip
        self._unconfirmed.add(changes.ids)
        # A read follows it, so it cannot be repeated if Redis has not cached the script.
        sent = command if self.has_committed else scripts.with_source(command)
        self.pipe.send(pack(sent), self._on_commit)
        self._epoch, self.counts = epoch, changes.counts
        if changes.forget is not None or self.rows.addresses.needs_more:
            self.rows.learn_free(self._end_with)
        if self._is_read_due:
            self._read()

    def _advance(self, changes: Changes) -> list[str | bytes]:
        """Move on to the progress and the attempt after these changes; what changes in `meta`."""
        fields: list[str | bytes] = []
        if changes.progress is not None or self.begun_id in changes.ids:
            self.progress = changes.progress
            fields += ("progress", b"" if self.progress is None else self.progress.packed())
        # A commit of no entry leaves the record of the attempt to apply some.
        if self._attempt is not None and (changes.ids or changes.progress is not None):
            self._attempt = None
            fields += ("attempt", "")
        return fields

    def _on_commit(self, reply: Reply) -> None:
        failpoints.reach("after_commit")
        is_ok = reply == b"ok"
        self._unconfirmed.confirm(is_ok=is_ok)
        self.on_committed()
        if is_ok:
            self.has_committed = True
        else:
            self._end_with(reply)

    def _read(self) -> None:
        """Request the entries behind the last one; Redis keeps no list of what it delivers."""
        self._is_read_due = False
        group = ("XREADGROUP", "GROUP", keys.GROUP, keys.CONSUMER, "NOACK")
        # The slices of an entry that has stepped aside must not wait behind a read.
        block = ("BLOCK", str(BLOCK_MS)) if self.progress is None else ()
        count = ("COUNT", str(self._read_entries))
        command = (*group, *count, *block, "STREAMS", self._readings, ">")
        self.pipe.send(pack(command), self._on_entries)

    def _on_entries(self, reply: Reply) -> None:
        if isinstance(reply, list):
            self._check_order(reply[0][1])
        elif reply is not None:
            self._end_with(reply)
        elif self.progress is None:
            self._on_idle()
        else:
            self._is_read_due = True

    def _check_order(self, entries: list[Entry]) -> None:
        """Pass entries on, unless another reader has moved the position of the group.

        If they do not follow the last ones by number, the stream must have nothing in between.
        """
        if self._position.is_followed_by(entries[0]):
            self._arrive(entries)
        elif self._position.is_behind(entries[0]):
            self._end_with(b"moved back")
        else:
            between = (b"(" + self._position.id, b"(" + entries[0][0], "COUNT", "1")
            command = ("XRANGE", self._readings, *between)
            self.pipe.send(pack(command), lambda reply: self._on_between(reply, entries))

    def _on_between(self, reply: Reply, entries: list[Entry]) -> None:
        if reply == []:
            self._arrive(entries)
        else:
            self._end_with(b"moved" if isinstance(reply, list) else reply)

    def _arrive(self, entries: list[Entry]) -> None:
        """Pass entries on, and adapt the size of the next read to `READ_BYTES`."""
        size_bytes = sum(len(fields[-1]) for _, fields in entries if fields)
        fitting = max(1, READ_BYTES * len(entries) // max(1, size_bytes))
        few_more = _READ_GROWTH * (len(entries) + _FIRST_READ_ENTRIES)
        self._read_entries = min(self._read_max_entries, fitting, few_more)
        self._arrived(self, entries, self._position.move(entries))

    def _on_idle(self) -> None:
        """Nothing new for a while: count what was lost behind the last entry."""
        epoch = self._new_epoch()
        command = scripts.count_lost(self.partition, epoch=self._epoch, new_epoch=epoch)
        self.pipe.send(pack(command), lambda reply: self._on_lost_counted(reply, epoch))

    def _on_lost_counted(self, reply: Reply, epoch: str) -> None:
        if not isinstance(reply, list):
            self._end_with(reply)
            return
        entries, readings = reply
        if entries:
            self._epoch = epoch
            self.counts = self.counts.with_lost(entries, readings)
            self._position.number = self.counts.done_entries
        self._read()

    def _end_with(self, reply: Reply) -> None:
        try:
            checked(reply)
            self.end(Superseded(f"another worker reads partition {self.partition} ({reply!r})"))
        except TributaryError as error:
            self.end(error)

    def _new_epoch(self) -> str:
        return f"{self._token}:{next(self._epochs)}"
