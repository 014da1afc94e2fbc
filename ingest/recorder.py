"""`POST /record` in the lane: what arrives in one tick shares a frame per partition.

Fast code: per reading one `Intake.take`, one `_Sent`, and its answer when Redis has
acknowledged the frame. Frames are packed and sent once per tick, in one write.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

import msgspec
from msgspec import Raw

from ingest.admission import Intake, Taken
from ingest.doors import record
from ingest.limits import Accepted
from ingest.newcomers import Joined
from tributary import failpoints
from tributary.auth.guard import Guard
from tributary.errors import TributaryError
from tributary.http.lane.lane import Lane, Route
from tributary.http.lane.request import Request
from tributary.model import frame
from tributary.model.frame import Block
from tributary.settings import Settings
from tributary.store import pipe, stream
from tributary.store.link import Link
from tributary.store.links import Links
from tributary.store.pipe import OnReply, Reply, pack
from tributary.store.scripts import APPEND, REPORT_TAIL
from tributary.store.stream import Appending, Frame, Once

_SHARED_MAX_READINGS = 1_000  # a frame with as many is not added to


class _Sent(msgspec.Struct, gc=False, eq=False):
    """A request whose readings are on their way to Redis."""

    request: Request
    answer: bytes
    joined: Joined | None
    awaited: int = 0  # replies that are still to come
    failure: Reply = None
    replies: list[Reply] | None = None  # kept only for a request with a key


class _Wave(msgspec.Struct, eq=False):
    """What one WAIT confirms: the frames that are sent on one link in one tick."""

    sent: dict[_Sent, None]
    awaited: int  # appends that have no reply yet
    numbers: dict[int, list[int]]  # partition → what the last of them has replied


# A frame to send, the requests whose readings it holds, its key, and whether it claims that key.
# Fast code: a plain tuple, since a named one costs a third of a microsecond per frame.
_Closed = tuple[Frame, list[_Sent], Once | None, bool]


class _Open:
    """A frame that grows until the tick ends, and the requests whose readings it holds."""

    __slots__ = ("blocks", "readings", "sent")

    def __init__(self) -> None:
        self.blocks: list[Block | Raw] = []
        self.readings = 0
        self.sent: list[_Sent] = []


def attach(settings: Settings, lane: Lane, guard: Guard) -> None:
    """Put `POST /record` into the lane of a process."""
    recorder = Recorder(settings, lane, guard)
    lane.add([Route("/record", ("POST",), "on_error=[a-z]{1,20}", recorder.record)], recorder.links)


class Recorder:
    """Readings on their way into the streams; keep `links` open while serving."""

    def __init__(self, settings: Settings, lane: Lane, guard: Guard) -> None:
        self._intake = Intake(settings, guard)
        self._appending = Appending(settings)
        self._responses = lane.responses
        self.links = Links(settings, (APPEND, REPORT_TAIL), "redis (record)", self._appending.tail)
        self._open: dict[int, _Open] = {}
        self._closed: list[_Closed] = []
        self._is_flush_due = False

    def record(self, request: Request) -> None:
        """Answer one request, once Redis has its readings.

        Raises:
            Refused, Unavailable: nothing of it was stored.
        """
        now_ms = time.time_ns() // 1_000_000
        taken = self._intake.take(request.body, request.head, request.query, now_ms)
        request.body = b""  # not kept until Redis has answered: with many large ones it is much
        if taken.lookup is not None:
            self._look_up(request, taken)
        elif taken.once is None and taken.accepted.blocks:  # the usual request, without a call more
            self._plan_flush()
            self._share(_Sent(request, taken.answer, taken.joined), taken.accepted)
        else:
            self._take(request, taken)

    def _look_up(self, request: Request, taken: Taken) -> None:
        """Ask Redis which series exist, then go on; near a cap only."""
        assert taken.lookup is not None
        commands = taken.lookup.commands()
        replies: list[Reply] = [None] * len(commands)
        awaited = len(commands)

        def answered(number: int, reply: Reply) -> None:
            nonlocal awaited
            replies[number] = reply
            awaited -= 1
            if awaited:
                return
            try:
                for each in replies:
                    pipe.checked(each)
                self._take(request, self._intake.settle(taken, replies))
            except TributaryError as error:
                self._fail(_Sent(request, b"", taken.joined), error)

        for number, (partition, command) in enumerate(commands):
            self.links.of(partition).send(pack(command), partial(answered, number))

    def _take(self, request: Request, taken: Taken) -> None:
        if not taken.accepted.blocks:
            request.respond(self._responses.ok(taken.answer))
            return
        sent = _Sent(request, taken.answer, taken.joined)
        if taken.once is None:
            self._plan_flush()
            self._share(sent, taken.accepted)
            return
        sent.replies = []
        frames = record.frames(taken.accepted)
        if self._appending.claims_first(frames, taken.once, is_cluster=self.links.is_cluster):
            self._claim(sent, frames, taken.once)
        else:
            self._append(sent, frames, taken.once)

    def _plan_flush(self) -> None:
        if not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _claim(self, sent: _Sent, frames: list[Frame], once: Once) -> None:
        """Append the frames of a request when the node that decides has given it its key."""

        def answered(reply: Reply) -> None:
            if reply is None or reply == once.digest:
                self._append(sent, frames, once, claims=False)
                return
            failure = pipe.failure(reply) or stream.key_reused()
            self._fail(sent, failure)

        command = pack(self._appending.claim_command(once))
        self.links.of(self._appending.home(once)).evaluate(command, answered)

    def _append(self, sent: _Sent, frames: list[Frame], once: Once, *, claims: bool = True) -> None:
        self._plan_flush()
        for whole in frames:
            sent.awaited += 1
            self._closed.append((whole, [sent], once, claims))

    def _share(self, sent: _Sent, accepted: Accepted) -> None:
        for partition, blocks in accepted.blocks.items():
            growing = self._open.get(partition)
            if growing is None:
                growing = self._open[partition] = _Open()
            if accepted.is_batch:
                # Packed at once: what it was made of is freed for the next request of the tick.
                growing.blocks += [Raw(frame.pack(block)) for block in blocks]
            else:
                growing.blocks += blocks
            growing.readings += (
                accepted.readings if len(accepted.blocks) == 1 else frame.readings_in(blocks)
            )
            growing.sent.append(sent)
            sent.awaited += 1
            if growing.readings >= _SHARED_MAX_READINGS:
                del self._open[partition]
                self._close(partition, growing)

    def _close(self, partition: int, grown: _Open) -> None:
        whole = Frame(partition, grown.readings, frame.pack(grown.blocks))
        self._closed.append((whole, grown.sent, None, True))

    def _flush(self) -> None:
        """Send the frames of this tick."""
        failpoints.reach("before_append")
        self._is_flush_due = False
        for partition, grown in self._open.items():
            self._close(partition, grown)
        self._open.clear()
        closed, self._closed = self._closed, []
        links = {self.links.of(whole.partition) for whole, _, _, _ in closed}
        for link in links:
            link.hold()
        waits = self._waits(closed) if self._appending.is_replicated else {}
        for whole, several, once, claims in closed:
            command = (
                self._appending.command(whole)
                if once is None
                else self._appending.command(whole, once, claims=claims)
            )
            link = self.links.of(whole.partition)
            link.evaluate(
                pack(command), self._when_appended(whole.partition, several, waits.get(link))
            )
        for link, wave in waits.items():
            self._wait(link, wave)
        for link in links:
            link.flush()

    def _waits(self, closed: list[_Closed]) -> dict[Link, _Wave]:
        """For each link what its WAIT confirms."""
        waits: dict[Link, _Wave] = {}
        for whole, several, _, _ in closed:
            wave = waits.setdefault(self.links.of(whole.partition), _Wave({}, 0, {}))
            wave.sent.update(dict.fromkeys(several))
            wave.awaited += 1
        for wave in waits.values():
            for sent in wave.sent:
                sent.awaited += 1
        return waits

    def _when_appended(self, partition: int, several: list[_Sent], wave: _Wave | None) -> OnReply:
        ok, acknowledged = self._responses.ok, self._appending.tail.numbers

        def answered(reply: Reply) -> None:
            failpoints.reach("after_append")
            failure = None
            if wave is not None:
                wave.awaited -= 1
            if type(reply) is list:
                if wave is None:
                    acknowledged[partition] = reply
                else:
                    wave.numbers[partition] = reply
            elif type(reply) is not bytes:
                failure = _refused(reply)
            for sent in several:
                if failure is None and sent.awaited == 1 and sent.replies is sent.failure is None:
                    sent.request.respond(ok(sent.answer))  # fast code: the usual request
                    continue
                if failure is not None:
                    sent.failure = failure
                elif sent.replies is not None:
                    sent.replies.append(reply)
                self._one_less(sent)

        return answered

    def _wait(self, link: Link, wave: _Wave) -> None:
        """Answer the requests of a wave once a replica has confirmed it."""

        def answered(reply: Reply) -> None:
            failure = _not_replicated(reply)
            if failure is None and wave.awaited:  # sent again behind this WAIT: a lost script
                self._wait(link, wave)
                return
            if failure is None:  # else it was not acknowledged, and cannot be lost
                for partition, numbers in wave.numbers.items():
                    self._appending.tail.note(partition, numbers)
            for sent in wave.sent:
                sent.failure = sent.failure or failure
                self._one_less(sent)

        link.send(pack(self._appending.wait_command()), answered)

    def _one_less(self, sent: _Sent) -> None:
        sent.awaited -= 1
        if sent.awaited:
            return
        if sent.failure is not None:
            self._fail(sent, sent.failure)
            return
        before = stream.answered_before(sent.replies) if sent.replies else None
        if before is None:
            sent.request.respond(self._responses.ok(sent.answer))
        else:
            sent.request.respond(self._responses.json(200, record.duplicate(before)))

    def _fail(self, sent: _Sent, failure: Exception) -> None:
        if sent.joined is not None:
            self._intake.forget(sent.joined, failure)
        sent.request.respond(self._responses.error(failure))


def _refused(reply: Reply) -> Exception | None:
    """What a reply to an append says is wrong, if anything."""
    return stream.refusal(reply) if type(reply) is int else pipe.failure(reply)


def _not_replicated(reply: Reply) -> Exception | None:
    return stream.not_replicated(reply) if type(reply) is int else pipe.failure(reply)
