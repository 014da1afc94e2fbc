"""Sends the frames of a flush to Redis, and responds to their requests. Fast code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import hiredis
import msgspec

from ingest.accepted import Accepted
from ingest.admission import Admission
from ingest.error_responses import ErrorResponses
from ingest.pace import Flush, Pace
from ingest.tick import Arrived, Sent, Shared
from tributary import failpoints
from tributary.errors import TributaryError
from tributary.http.response import Response
from tributary.store import pipe, stream
from tributary.store.links import Links
from tributary.store.pipe import OnReply, Pipe, Reply, pack
from tributary.store.redirects import Target
from tributary.store.stream import Appender

# The frames of a script call with their requests, and its packed command.
Call = tuple[list[Shared], bytes]


class _Wave(msgspec.Struct, eq=False):
    """What one WAIT confirms: the frames that are sent together on one connection."""

    partition: int  # one of those on the connection
    sent: dict[Sent, None]
    pending: int  # appends
    numbers: dict[int, list[int]]  # the last reply of each partition


class Appends:
    """The script calls that Redis has not replied to, and who waits for them."""

    def __init__(  # noqa: PLR0913 (what requests need besides Redis)
        self,
        links: Links,
        appender: Appender,
        pace: Pace,
        *,
        admission: Admission,
        accepted: Accepted,
        errors: ErrorResponses,
        render: Callable[[Response], bytes],
    ) -> None:
        self._links = links
        self._appender = appender
        self._wait = pack(appender.wait_command)
        self._pace = pace
        self._admission = admission
        self._accepted = accepted
        self._errors = errors
        self._render = render

    def send(self, calls: list[Call], since_s: float | None = None) -> None:
        """Send calls, each to the server of its partition; `since_s`: when they were rejected."""
        links = self._links
        waves = self._waves(calls) if self._appender.is_replicated else {}
        flush = self._pace.sent(len(calls))
        commands: list[tuple[int, bytes, OnReply]] = []
        for call in calls:
            partition = call[0][0][0][0]
            wave = waves[links.pipe(partition)] if waves else None
            on_reply = self._when_appended(call[0], wave, flush)
            if links.is_cluster:
                on_reply = self._unless_redirected(call, wave, flush, on_reply, since_s)
            commands.append((partition, call[1], on_reply))
        for connection, wave in waves.items():
            commands.append((wave.partition, self._wait, self._when_confirmed(connection, wave)))
        links.write(commands)

    def fail(self, sent: Sent, failure: Exception) -> None:
        """Respond to a request of which not everything was appended."""
        self._admission.forget(sent.new_series, failure)
        self._errors.respond(sent.door, sent.request, failure)

    def _unless_redirected(
        self,
        call: Call,
        wave: _Wave | None,
        flush: Flush,
        on_reply: OnReply,
        since_s: float | None,
    ) -> OnReply:
        """Send a call again if the slot of its partition has moved, or is moving."""
        frames, _ = call
        partition = frames[0][0].partition

        def check(reply: Reply) -> None:
            if type(reply) is not hiredis.ReplyError:
                on_reply(reply)
                return
            first_s = since_s or asyncio.get_running_loop().time()

            def send(_target: Target) -> None:
                self.send([call], first_s)

            # Only once the slot has moved, and this process has reported its tail there.
            if not self._links.redirects.again(partition, reply, first_s, send, asks=False):
                on_reply(reply)
                return
            self._pace.replied(flush)
            if wave is not None:
                wave.pending -= len(frames)

        return check

    def _waves(self, calls: list[Call]) -> dict[Pipe, _Wave]:
        """What the WAIT of each connection confirms."""
        waves: dict[Pipe, _Wave] = {}
        for frame, requests in (each for call, _ in calls for each in call):
            connection = self._links.pipe(frame.partition)
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
                        self._errors.respond_all(requests.singles, failure)
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
            self.fail(sent, sent.failure)
            return
        self._accepted.on_loop[sent.door] += 1
        first = stream.first_response(sent.replies) if sent.replies else None
        response = sent.response if first is None else sent.door.duplicate(first)
        sent.request.respond(self._render(response))
