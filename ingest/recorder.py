"""The doors on the lane: requests that are sent together share a frame per partition.

Fast code: the usual request takes the short way through arrivals.py; any other one takes
`Admission.admit`, a `Sent`, and its own response. Frames are packed and written once per flush (see
pace.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import msgspec

from ingest.accepted import Accepted
from ingest.admission import Admission, Admitted, query_parser
from ingest.arrivals import Arrivals
from ingest.doors import DOORS
from ingest.doors.door import Door
from ingest.error_responses import ErrorResponses
from ingest.pace import Flush, Pace
from ingest.tick import Arrived, Requests, Sent, Shared, Tick
from tributary import failpoints
from tributary.auth.guard import Guard
from tributary.errors import TributaryError
from tributary.http.lane.lane import Lane
from tributary.http.lane.request import Request
from tributary.http.lane.router import Route
from tributary.settings import Settings
from tributary.store import pipe, stream
from tributary.store.links import Links
from tributary.store.pipe import OnReply, Pipe, Reply, pack
from tributary.store.scripts import Command
from tributary.store.stream import Appender, Frame, Idempotency


class _Wave(msgspec.Struct, eq=False):
    """What one WAIT confirms: the frames that one flush sends on one connection."""

    partition: int  # one of those on the connection
    sent: dict[Sent, None]
    pending: int  # appends
    numbers: dict[int, list[int]]  # the last reply of each partition


def attach(settings: Settings, lane: Lane, guard: Guard, doors: Iterable[Door] = DOORS) -> None:
    """Serve every door on the lane of a process."""
    recorder = Recorder(settings, lane, guard)
    routes = [
        Route(
            *mount,
            handler=partial(recorder.record, door),
            prepare=query_parser,
            too_large=partial(recorder.errors.too_large, door),
        )
        for door in doors
        for mount in door.mounts
    ]
    lane.add(routes, recorder.links)


class Recorder:
    """Appends readings to the streams; keep `links` open while serving."""

    def __init__(self, settings: Settings, lane: Lane, guard: Guard) -> None:
        self._admission = Admission(settings, guard)
        self._accepted = Accepted(guard)
        self._appender = Appender(settings)
        self._wait = pack(self._appender.wait_command)
        self._render = lane.responses.render
        self.errors = ErrorResponses(self._render)
        self._internal_error = lane.responses.error
        self.links = Links(settings, "redis (record)", self._appender.tail)
        self._tick = Tick()
        self._arrivals = Arrivals(
            self._admission,
            self._tick,
            self._admit,
            takes_singles=not self._appender.is_replicated,
        )
        self._pace = Pace(self._flush)

    def record(self, door: Door, request: Request) -> None:
        """Record a request, and respond once Redis has its readings."""
        if not self._pace.is_due:
            self._pace.plan()
        self._arrivals.add(door, request)

    def _admit(self, door: Door, request: Request, now_ms: int) -> None:
        """Admit a request of any kind; an error is its response, and is logged if unexpected."""
        try:
            admitted = self._admission.admit(door, request, now_ms)
            request.body = b""  # not kept until Redis has replied: large bodies add up
            sent = Sent(request, door, admitted.response, admitted.new_series)
            if admitted.lookup is not None:
                self._look_up(sent, admitted)
            else:
                self._record(sent, admitted)
        except TributaryError as error:
            self.errors.respond(door, request, error)
        except Exception as error:
            request.respond(self._internal_error(error, door.name, request.head))

    def _look_up(self, sent: Sent, admitted: Admitted) -> None:
        """Look up which series exist, then record; near a cap only."""
        assert admitted.lookup is not None
        commands = admitted.lookup.commands()
        replies: list[Reply] = [None] * len(commands)
        pending = len(commands)

        def on_reply(number: int, reply: Reply) -> None:
            nonlocal pending
            replies[number] = reply
            pending -= 1
            if pending:
                return
            try:
                for each in replies:
                    pipe.checked(each)
                settled = self._admission.settle(sent.door, admitted, replies)
            except TributaryError as error:
                self._fail(sent, error)
                return
            sent.response, sent.new_series = settled.response, settled.new_series
            self._pace.plan()
            self._record(sent, settled)

        self.links.write(
            (partition, pack(command), partial(on_reply, number))
            for number, (partition, command) in enumerate(commands)
        )

    def _record(self, sent: Sent, admitted: Admitted) -> None:
        batch, idempotency = admitted.batch, admitted.idempotency
        if not batch.blocks:
            self._accepted.on_loop[sent.door] += 1
            sent.request.respond(self._render(sent.response))
        elif idempotency is None:
            self._tick.share(sent, batch)
        else:
            sent.replies = []
            frames = batch.frames()
            if self._appender.claims_first(frames, idempotency, is_cluster=self.links.is_cluster):
                self._claim(sent, frames, idempotency)
            else:
                self._tick.add(sent, frames, idempotency, claims=True)

    def _claim(self, sent: Sent, frames: list[Frame], idempotency: Idempotency) -> None:
        """Append the frames of a request after claiming its key on the node that owns the key."""

        def on_reply(reply: Reply) -> None:
            if reply is None or reply == idempotency.digest:
                self._pace.plan()
                self._tick.add(sent, frames, idempotency, claims=False)
            else:
                self._fail(sent, pipe.failure(reply) or stream.key_reused())

        command = pack(self._appender.claim_command(idempotency))
        self.links.write([(self._appender.home(idempotency), command, on_reply)])

    def _flush(self) -> None:
        """Send the frames that have gathered."""
        self._arrivals.admit()
        failpoints.reach("before_append")
        appender, links = self._appender, self.links
        shared, keyed = self._tick.end()
        calls: list[tuple[list[Shared], Command]] = []
        for call in stream.calls(shared, is_cluster=links.is_cluster):
            calls.append((call, appender.command([each[0] for each in call])))  # noqa: PERF401 (fast code: no further list)
        for frame, sent, idempotency, claims in keyed:
            command = appender.idempotent_command(frame, idempotency, claims=claims)
            calls.append(([(frame, Requests([sent], []))], command))
        waves = self._waves(calls) if appender.is_replicated else {}
        flush = self._pace.sent(len(calls))
        commands: list[tuple[int, bytes, OnReply]] = []
        for call, command in calls:
            partition = call[0][0][0]
            wave = waves[links.pipe(partition)] if waves else None
            commands.append((partition, pack(command), self._when_appended(call, wave, flush)))
        for connection, wave in waves.items():
            commands.append((wave.partition, self._wait, self._when_confirmed(connection, wave)))
        links.write(commands)

    def _waves(self, calls: list[tuple[list[Shared], Command]]) -> dict[Pipe, _Wave]:
        """What the WAIT of each connection confirms."""
        waves: dict[Pipe, _Wave] = {}
        for frame, requests in (each for call, _ in calls for each in call):
            connection = self.links.pipe(frame.partition)
            wave = waves.setdefault(connection, _Wave(frame.partition, {}, 0, {}))
            wave.sent.update(dict.fromkeys(requests.sent))
            wave.pending += 1
        for wave in waves.values():
            for sent in wave.sent:
                sent.pending += 1
        return waves

    def _when_appended(self, call: list[Shared], wave: _Wave | None, flush: Flush) -> OnReply:
        acknowledged = self._appender.tail.numbers if wave is None else wave.numbers
        pace = self._pace

        def on_reply(reply: Reply) -> None:
            failpoints.reach("after_append")
            pace.replied(flush)
            if wave is not None:
                wave.pending -= len(call)
            replies = reply if type(reply) is list else [reply, 0] * len(call)
            at = 0
            for frame, requests in call:
                number, failure = replies[at], None
                if type(number) is int and number > 0:
                    acknowledged[frame[0]] = replies[at : at + 2]
                elif type(number) is not bytes:
                    failure = (
                        stream.refusal(number) if type(number) is int else pipe.failure(number)
                    )
                at += 2
                if requests.singles:
                    if failure is None:
                        self._respond_singles(requests.singles)
                    else:
                        self.errors.respond_all(requests.singles, failure)
                for sent in requests.sent:
                    if sent.replies is not None:
                        sent.replies.append(number)
                    self._count_reply(sent, failure)

        return on_reply

    def _when_confirmed(self, connection: Pipe, wave: _Wave) -> OnReply:
        """Respond to the requests of a wave once a replica has confirmed it."""

        def on_reply(reply: Reply) -> None:
            is_count = type(reply) is int
            failure = self._appender.not_replicated(reply) if is_count else pipe.failure(reply)
            if failure is None and wave.pending:
                # An append was retried after this WAIT, since the script was not loaded.
                connection.send(self._wait, self._when_confirmed(connection, wave))
                return
            if failure is None:  # otherwise it was not acknowledged, and cannot be lost
                for partition, numbers in wave.numbers.items():
                    self._appender.tail.note(partition, numbers)
            for sent in wave.sent:
                self._count_reply(sent, failure)

        return on_reply

    def _respond_singles(self, singles: list[Arrived]) -> None:
        """Respond to requests that wait for nothing else."""
        response, of_door, runs = b"", None, 0
        for door, request in singles:
            if door is not of_door:  # else the same as before
                of_door = door
                runs += 1
                assert door.single is not None
                response = self._render(door.single.response)
            request.respond(response)
        if runs == 1:  # mostly
            self._accepted.on_loop[singles[0][0]] += len(singles)
            return
        for door, _ in singles:
            self._accepted.on_loop[door] += 1

    def _count_reply(self, sent: Sent, failure: TributaryError | None) -> None:
        sent.failure = sent.failure or failure
        sent.pending -= 1
        if sent.pending:
            return
        if sent.failure is not None:
            self._fail(sent, sent.failure)
            return
        self._accepted.on_loop[sent.door] += 1
        first = stream.first_response(sent.replies) if sent.replies else None
        response = sent.response if first is None else sent.door.duplicate(first)
        sent.request.respond(self._render(response))

    def _fail(self, sent: Sent, failure: Exception) -> None:
        self._admission.forget(sent.new_series, failure)
        self.errors.respond(sent.door, sent.request, failure)
