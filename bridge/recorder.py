"""Messages to Redis: many messages become one frame per partition, and one write.

A message with an idempotency key has frames of its own, which Redis appends once. The other
messages share frames, and each frame has a random key: if its reply is lost, it is sent again
under the same key and not appended twice. Such a key is kept for `FRAME_TTL_MS`.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from typing import NamedTuple

import msgspec
from loguru import logger

from bridge.counts import Counts
from bridge.formats import Reader
from bridge.message import Ignored, Message
from ingest.batch import Batch
from ingest.caps import Caps
from ingest.new_series import NewSeries, NewSeriesRate
from tributary import failpoints
from tributary.errors import Refused, TooManyNewSeries, TributaryError
from tributary.model import frame
from tributary.model.frame import Block
from tributary.settings import Settings
from tributary.store import pipe, scripts, stream
from tributary.store.links import Links
from tributary.store.outage import Outage
from tributary.store.stream import Appender, Frame, Idempotency

FRAME_TTL_MS = 60_000
_FRAME_MAX_READINGS = 1_000  # of shared ones
_BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0)
_DIGEST_BYTES = 16
_RESPONSE = b'{"success":true}'  # what an HTTP client gets that uses the key of a message


class _Item(msgspec.Struct, eq=False):
    """A message with readings."""

    message: Message
    batch: Batch
    new: NewSeries | None
    pending: int = 0  # frames
    is_new: bool = False  # a frame was appended now, and not before


class _Job(NamedTuple):
    """A frame to append, and the messages whose readings it has."""

    frame: Frame
    idempotency: Idempotency
    items: list[_Item]
    has_own_key: bool


class Recorder:
    """Stores messages; keep `links` open while it does."""

    def __init__(self, settings: Settings, reader: Reader, caps: Caps, counts: Counts) -> None:
        self._reader = reader
        self._caps = caps
        self._counts = counts
        self._new_series_rate = NewSeriesRate(settings.new_series_per_second)
        self._appender = Appender(settings)
        ttl = {"idempotency_ttl_ms": FRAME_TTL_MS}
        self._frame_appender = Appender(msgspec.structs.replace(settings, **ttl))
        self.links = Links(settings, "redis (mqtt)", self._appender.tail)
        self._outage = Outage("redis (mqtt): appends")
        self._process = uuid.uuid4().hex
        self._frames = 0

    async def record(self, messages: list[Message]) -> None:
        """Return once each message is stored, refused or ignored; retries while Redis is away."""
        items = [item for each in messages if (item := await self._admitted(each)) is not None]
        jobs = self._jobs(items)
        attempt = 0
        while jobs:
            failpoints.reach("before_append")
            jobs = await self._append(jobs)
            if jobs:
                self._counts.add("retried", len({id(item) for job in jobs for item in job.items}))
                await asyncio.sleep(_BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)])
                attempt += 1
        self._outage.end()
        failpoints.reach("after_append")

    async def _admitted(self, message: Message) -> _Item | None:
        """The readings of a message that may be stored; waits while too many series are new."""
        try:
            batch = self._reader.read(message)
            if not batch.blocks:
                self._counts.add("ignored:empty")
                return None
            return _Item(message, *await self._within_caps(batch))
        except Ignored as ignored:
            self._counts.add(f"ignored:{ignored.reason}")
        except Refused as refusal:
            self._counts.refused(message, refusal)
        except TributaryError:
            raise
        except (
            Exception
        ):  # a bug: without an acknowledgement the broker would send it again and again
            text = "internal error; report the log line above; the message is not stored"
            logger.bind(action="message_failed", topic=message.topic[:200]).exception(
                "message failed"
            )
            self._counts.refused(message, Refused(text, status=500, code="internal_error"))
        return None

    async def _within_caps(self, batch: Batch) -> tuple[Batch, NewSeries | None]:
        while True:
            try:
                new = self._new_series_rate.admit(batch, "", time.time())
                break
            except TooManyNewSeries as error:
                await asyncio.sleep(error.retry_after_s)
        if new is not None:
            self._caps.add(new)
        lookup = self._caps.lookup(batch, None) if self._caps.is_near else None
        if lookup is None:
            return batch, new
        attempt = 0
        while True:
            try:
                replies = [pipe.checked(r) for r in await self.links.call(lookup.commands())]
                return self._caps.settle(batch, lookup, replies), new
            except Refused:
                self._forget(new)
                raise
            except TributaryError as error:
                self._outage.begin(error)
                await asyncio.sleep(_BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)])
                attempt += 1

    def _forget(self, new: NewSeries | None) -> None:
        if new is not None:
            self._new_series_rate.forget(new, refund=False)

    def _jobs(self, items: list[_Item]) -> list[_Job]:
        jobs: list[_Job] = []
        shared: dict[int, tuple[list[Block], list[_Item]]] = {}
        for item in items:
            batch = item.batch
            if batch.idempotency_key is not None:
                digest = hashlib.blake2b(item.message.payload, digest_size=_DIGEST_BYTES).digest()
                key = Idempotency(batch.idempotency_key, _RESPONSE, digest)
                jobs += [_Job(each, key, [item], has_own_key=True) for each in batch.frames()]
                item.pending = len(batch.blocks)
                continue
            for partition, blocks in batch.blocks.items():
                held, owners = shared.setdefault(partition, ([], []))
                held += blocks
                owners.append(item)
                item.pending += 1
                if frame.readings_in(held) >= _FRAME_MAX_READINGS:
                    jobs.append(self._shared_job(partition, *shared.pop(partition)))
        return [*jobs, *(self._shared_job(p, *each) for p, each in shared.items())]

    def _shared_job(self, partition: int, blocks: list[Block], items: list[_Item]) -> _Job:
        self._frames += 1
        key = Idempotency(f"mqtt-{self._process}-{self._frames}", b"", b"frame")
        packed = Frame(partition, frame.readings_in(blocks), frame.pack(blocks))
        return _Job(packed, key, items, has_own_key=False)

    async def _append(self, jobs: list[_Job]) -> list[_Job]:
        """Append frames; returns those to send again."""
        jobs, claimed = await self._claim(jobs)
        commands = [
            (job.frame.partition, self._command(job, claims=job.idempotency.key not in claimed))
            for job in jobs
        ]
        # Only on nodes to which the tail was reported; and a WAIT is sent on the same connection.
        replies = await self.links.call(commands, asks=False)
        failure = await self._confirm(jobs) if self._appender.is_replicated else None
        again = []
        for job, reply in zip(jobs, replies, strict=True):
            error = stream.refusal(reply) if isinstance(reply, int) else pipe.failure(reply)
            error = error or failure
            if isinstance(error, Refused):
                self._refuse(job, error)
            elif error is not None:
                self._outage.begin(error)
                again.append(job)
            else:
                if isinstance(reply, list):
                    self._appender.tail.note(job.frame.partition, reply)
                self._count(job, is_new=isinstance(reply, list))
        return again

    def _command(self, job: _Job, *, claims: bool) -> scripts.Command:
        appender = self._appender if job.has_own_key else self._frame_appender
        return appender.idempotent_command(
            job.frame, job.idempotency, claims=claims and job.has_own_key
        )

    async def _claim(self, jobs: list[_Job]) -> tuple[list[_Job], set[str]]:
        """On a cluster, claim the keys of messages for several nodes; returns what may go on."""
        frames: dict[str, list[_Job]] = {}
        for job in jobs:
            if job.has_own_key and self.links.is_cluster:
                frames.setdefault(job.idempotency.key, []).append(job)
        claims = [
            of
            for of in frames.values()
            if self._appender.claims_first(
                [j.frame for j in of], of[0].idempotency, is_cluster=True
            )
        ]
        replies = await self.links.call(
            (
                self._appender.home(of[0].idempotency),
                self._appender.claim_command(of[0].idempotency),
            )
            for of in claims
        )
        for of, reply in zip(claims, replies, strict=True):
            if isinstance(reply, bytes) and reply != of[0].idempotency.digest:
                for job in of:
                    self._refuse(job, stream.key_reused())
                jobs = [job for job in jobs if job not in of]
        claimed = {
            of[0].idempotency.key
            for of, reply in zip(claims, replies, strict=True)
            if pipe.failure(reply) is None
        }
        return jobs, claimed

    async def _confirm(self, jobs: list[_Job]) -> TributaryError | None:
        """Wait until a replica has what was appended; after the replies, which covers retries."""
        partitions = {self.links.pipe(j.frame.partition): j.frame.partition for j in jobs}
        waits = ((each, self._appender.wait_command) for each in partitions.values())
        for reply in await self.links.call(waits):
            is_count = isinstance(reply, int)
            error = self._appender.not_replicated(reply) if is_count else pipe.failure(reply)
            if error is not None:
                return error
        return None

    def _refuse(self, job: _Job, refusal: Refused) -> None:
        for item in job.items:
            if item.pending > 0:
                item.pending = 0
                self._counts.refused(item.message, refusal)

    def _count(self, job: _Job, *, is_new: bool) -> None:
        for item in job.items:
            item.is_new |= is_new or not job.has_own_key
            item.pending -= 1
            if item.pending == 0:
                self._counts.add("stored" if item.is_new else "duplicate")
