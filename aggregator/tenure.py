"""One worker's time as owner of a partition: from reading its epoch to the first doubt.

The order of things is the proof of exactly-once (docs/decisions): the epoch is read before any
entry; entries are read, loaded for and committed on one connection; a refusal, an error or a
lost connection ends the tenure, and everything remembered under it is void.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable

from loguru import logger

from aggregator.account import Counts, Entry, Progress
from aggregator.attempts import Attempt, following
from aggregator.changes import Changes
from tributary import failpoints
from tributary.errors import ConnectionGone, Superseded, TributaryError
from tributary.store import keys
from tributary.store.pipe import Pipe, Reply, checked, pack
from tributary.store.scripts import ATTEMPT, COMMIT, FORGET, REGROUP, SETTLE

BLOCK_MS = 1_000
# About what a read brings: one large batch after the other, not a thousand. All partitions of a
# worker together hold so much each, until it is applied.
READ_BYTES = 1_048_576
_FIRST_READ_ENTRIES = 16
_READ_GROWTH = 8  # entries are as large as their senders make them: ask for few more each time
_PROCESS_REPLIES_S = 0.05
_COMMITS_MAX = 2  # unconfirmed: a server that is slow is not sent more and more
DEAD_MAX_ENTRIES = 10_000
_FORGET_EVERY_S = 10.0
HasEnded = Callable[[str], Awaitable[bool]]
_numbers = itertools.count(1)


class Tenure:
    """A partition in the hands of one worker, until it is over."""

    def __init__(
        self,
        partition: int,
        pipe: Pipe,
        worker: str,
        arrived: Callable[[Tenure, list[Entry]], None],
        read_max_entries: int,
    ) -> None:
        self.partition = partition
        self.pipe = pipe
        self.counts = Counts()
        self.has_committed = False
        self.was_slow = False
        self.progress: Progress | None = None  # of the entry that is applied in slices
        self._has_begun_entry = False  # whether this tenure has read the entry of `progress`
        self._is_read_due = False  # behind the next slice of it
        self.on_committed: Callable[[], None] = lambda: None
        self._attempt: Attempt | None = None
        self._unconfirmed: deque[asyncio.Future[None]] = deque()
        self._over: asyncio.Future[TributaryError] = asyncio.get_running_loop().create_future()
        self._worker = worker
        self._arrived = arrived
        self._read_max_entries = read_max_entries
        self._read_entries = min(_FIRST_READ_ENTRIES, read_max_entries)
        self._epoch = ""
        self._is_claiming = True
        self._forget_at_s = 0.0  # of the loop
        self._readings = keys.readings(partition)
        self._meta = keys.meta(partition)

    async def take_up(self, has_ended: HasEnded | None = None) -> None:
        """Make sure there is a group, read the epoch and the counts, and start reading.

        `has_ended`: whether another worker has ended; if not, its attempt says nothing.

        Raises:
            TributaryError: the server did not answer or refused.
        """
        # All at once: a server that syncs each write to a slow disk takes long for each turn.
        scripts = (REGROUP, COMMIT, ATTEMPT, SETTLE, FORGET)
        regroup = ("EVALSHA", REGROUP.sha, "2", self._readings, self._meta)
        *_, reply = await asyncio.gather(
            *(self.pipe.call("SCRIPT", "LOAD", script.source) for script in scripts),
            self.pipe.call(*regroup, keys.GROUP, self._token()),
            self.pipe.call("HGETALL", self._meta),
        )
        meta = dict(zip(reply[::2], reply[1::2], strict=True))
        self._epoch = meta.get(b"epoch", b"").decode()
        self.counts = Counts.parse(meta)
        self.progress = Progress.parse(meta.get(b"progress"))
        found = Attempt.parse(meta.get(b"attempt"))
        if found is not None and not (has_ended and await has_ended(found.worker.decode())):
            found = found._replace(worker=self._worker.encode())
        self._attempt = found
        failpoints.reach("after_take_up")
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
        """Wait for the end of the tenure, and say what ended it."""
        timeout_s = BLOCK_MS / 1000 + 5
        while not self.is_over:
            await asyncio.wait([self._over], timeout=timeout_s)
            # If it was this process that was busy, a reply may be there, not read yet.
            await asyncio.sleep(_PROCESS_REPLIES_S)
            # Entries that wait for their turn are not waiting for Redis.
            if self.pipe.is_waiting and not self.is_over:
                silent_s = asyncio.get_running_loop().time() - self.pipe.waiting_since_s
                if silent_s > timeout_s:
                    self.was_slow = True
                    self.end(ConnectionGone(f"no reply from Redis for {silent_s:.0f} s"))
        return self._over.result()

    def end(self, reason: TributaryError) -> None:
        """Give the partition up; what was read and not committed stays pending for the next."""
        if not self.is_over:
            self._over.set_result(reason)
        self.pipe.close()
        while self._unconfirmed:
            _resolve(self._unconfirmed.popleft())

    @property
    def is_recovering(self) -> bool:
        """Whether what is read now was read by another process before, and not committed."""
        return self._is_claiming

    @property
    def is_ready(self) -> bool:
        """Whether another commit may be sent: not before Redis has confirmed the last ones."""
        return len(self._unconfirmed) < _COMMITS_MAX

    async def confirmed(self) -> None:
        """Wait until every commit is confirmed, or the tenure is over."""
        if self._unconfirmed:
            await self._unconfirmed[-1]

    async def attempt(self, first: bytes, entries: int) -> Attempt:
        """Record which entries are applied next, alone; fewer if they may have ended a process.

        Raises:
            TributaryError: the server did not answer or refused.
        """
        attempt = following(self._attempt, first, entries, self._worker.encode())
        if not attempt.is_hopeless:
            call = ("EVALSHA", ATTEMPT.sha, "1", self._meta, self._epoch, attempt.packed())
            if await self.pipe.call(*call) != b"ok":
                raise Superseded(f"partition {self.partition} has another owner")
        self._attempt = attempt
        return attempt

    async def load(self, field_lists: list[tuple[str, list[str]]]) -> list[list[bytes | None]]:
        """The values of hash fields, for several keys in one round trip.

        Raises:
            TributaryError: the server did not answer or refused.
        """
        calls = [self.pipe.call("HMGET", key, *fields) for key, fields in field_lists if fields]
        replies = iter(await asyncio.gather(*calls))
        return [next(replies) if fields else [] for _, fields in field_lists]

    def commit(self, changes: Changes) -> None:
        """Send a batch's changes, and ask for the next batch behind it on the same connection."""
        self.commit_part(changes)
        # The next batch is read knowing that this one will stand, or will void both.
        self._read()
        failpoints.reach("after_commit_sent")

    def commit_part(self, changes: Changes) -> None:
        """Send the changes of the first entries of a batch; the rest of it follows."""
        token = self._token()
        meta = ["epoch", token, *changes.meta()]
        if changes.progress is not None or self.begun_id in changes.ids:
            self.progress = changes.progress
            self._has_begun_entry = changes.progress is not None
            meta += ("progress", b"" if self.progress is None else self.progress.packed())
        if self._attempt is not None:
            self._attempt = None
            meta += ("attempt", "")
        for entry in changes.dead:
            buried = {"partition": self.partition, "entry": entry.id.decode()}
            logger.bind(action="buried", reason=entry.reason, **buried).warning("entry buried")
        p = self.partition
        names = (self._readings, self._meta, keys.state(p), keys.windows(p), keys.latest(p))
        command: list[str | bytes] = ["EVALSHA", COMMIT.sha, "7", *names]
        command += (keys.devices(p), keys.dead(p), keys.GROUP, self._epoch, str(DEAD_MAX_ENTRIES))
        command += changes.arguments(meta, self.begun_id)
        self._unconfirmed.append(self._over.get_loop().create_future())
        self.pipe.send(pack(tuple(command)), self._committed)
        self._epoch, self.counts = token, changes.counts
        if self._is_read_due:
            self._read()

    def _committed(self, reply: Reply) -> None:
        failpoints.reach("after_commit")
        if self._unconfirmed:
            _resolve(self._unconfirmed.popleft())
        self.on_committed()
        if reply == b"ok":
            self.has_committed = True
        else:
            self._end_with(reply)

    def _read(self) -> None:
        """Ask for entries: first all that is pending, whoever it was handed to, then new ones."""
        self._is_read_due = False
        count = str(self._read_entries)
        if self._is_claiming:
            # What has been begun here stays here; everything behind it may be somebody else's.
            begun = self.progress if self._has_begun_entry else None
            first = "0-0" if begun is None else begun.following_id
            command = ("XAUTOCLAIM", self._readings, keys.GROUP, self._worker, "0", first)
            self.pipe.send(pack((*command, "COUNT", count)), self._claimed)
        else:
            self._forget_others()
            group = ("XREADGROUP", "GROUP", keys.GROUP, self._worker, "COUNT", count)
            # The slices of an entry that has stepped aside must not wait behind a read.
            block = () if self._has_begun_entry else ("BLOCK", str(BLOCK_MS))
            self.pipe.send(pack((*group, *block, "STREAMS", self._readings, ">")), self._were_read)

    def _claimed(self, reply: Reply) -> None:
        if not isinstance(reply, list):
            self._end_with(reply)
        elif reply[1]:
            self._arrive(reply[1])
        else:  # before 0-0 there are more: these had lost their data, and have left the list
            self._is_claiming = reply[0] != b"0-0"
            self._read()

    def _were_read(self, reply: Reply) -> None:
        if isinstance(reply, list):
            self._arrive(reply[0][1])
        elif reply is None and self._has_begun_entry:
            self._is_read_due = True
        elif reply is None:
            self._idle()
        else:
            self._end_with(reply)

    def _forget_others(self) -> None:
        """Now and then remove the consumers of workers that are gone, once they hold nothing."""
        now_s = self._over.get_loop().time()
        if now_s < self._forget_at_s:
            return
        self._forget_at_s = now_s + _FORGET_EVERY_S
        forget = ("EVALSHA", FORGET.sha, "1", self._readings, keys.GROUP, self._worker)
        self.pipe.send(pack(forget), lambda r: None if type(r) is int else self._end_with(r))

    def _arrive(self, entries: list[Entry]) -> None:
        """Hand entries over, and ask for as many next time as should fit the bytes of a read."""
        size_bytes = sum(len(fields[-1]) for _, fields in entries if fields)
        fitting = max(1, READ_BYTES * len(entries) // max(1, size_bytes))
        few_more = _READ_GROWTH * (len(entries) + _FIRST_READ_ENTRIES)
        self._read_entries = min(self._read_max_entries, fitting, few_more)
        self._has_begun_entry |= entries[0][0] == self.begun_id
        self._arrived(self, entries)

    def _idle(self) -> None:
        """Nothing new for a while: look for entries handed to others, and for lost ones."""
        token = self._token()
        settle = ("EVALSHA", SETTLE.sha, "2", self._readings, self._meta, keys.GROUP)
        command = pack((*settle, self._epoch, token))
        self.pipe.send(command, lambda reply: self._settled(reply, token))
        self._is_claiming = True

    def _settled(self, reply: Reply, token: str) -> None:
        if not isinstance(reply, list):
            self._end_with(reply)
            return
        entries, readings = reply
        if entries:
            self._epoch = token
            self.counts = self.counts.with_lost(entries, readings)
        self._read()

    def _end_with(self, reply: Reply) -> None:
        try:
            checked(reply)
            self.end(Superseded(f"partition {self.partition} has another owner ({reply!r})"))
        except TributaryError as error:
            self.end(error)

    def _token(self) -> str:
        """An epoch never used before: the worker's id is random per start."""
        return f"{self._worker}:{next(_numbers)}"


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
