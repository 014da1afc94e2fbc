"""The doors on the lane: requests that are sent together share a frame per partition.

Fast code: the usual request takes the short way through arrivals.py; any other one takes
`Admission.admit`, a `Sent`, and its own response. Frames are packed and written once per flush (see
pace.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from ingest.accepted import Accepted
from ingest.admission import Admission, Admitted, query_parser
from ingest.appends import Appends, Call
from ingest.arrivals import Arrivals
from ingest.doors import DOORS
from ingest.doors.door import Door
from ingest.error_responses import ErrorResponses
from ingest.pace import Pace
from ingest.tick import Requests, Sent, Tick
from tributary import failpoints
from tributary.auth.guard import Guard
from tributary.errors import TributaryError
from tributary.http.lane.lane import Lane
from tributary.http.lane.request import Request
from tributary.http.lane.router import Route
from tributary.settings import Settings
from tributary.store import pipe, stream
from tributary.store.links import Links
from tributary.store.pipe import Reply, pack
from tributary.store.stream import Appender, Frame, Idempotency


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
        self._appends = Appends(
            self.links,
            self._appender,
            self._pace,
            admission=self._admission,
            accepted=self._accepted,
            errors=self.errors,
            render=self._render,
        )

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
                self._appends.fail(sent, error)
                return
            sent.response, sent.new_series = settled.response, settled.new_series
            self._pace.plan()
            self._record(sent, settled)

        redirected = self.links.redirects.on_reply
        packed = [(partition, pack(command)) for partition, command in commands]
        self.links.write(
            (partition, command, redirected(partition, command, partial(on_reply, number)))
            for number, (partition, command) in enumerate(packed)
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
                self._appends.fail(sent, pipe.failure(reply) or stream.key_reused())

        home = self._appender.home(idempotency)
        command = pack(self._appender.claim_command(idempotency))
        redirected = self.links.redirects.on_reply(home, command, on_reply)
        self.links.write([(home, command, redirected)])

    def _flush(self) -> None:
        """Send the frames that have gathered."""
        self._arrivals.admit()
        failpoints.reach("before_append")
        appender = self._appender
        shared, keyed = self._tick.end()
        calls: list[Call] = []
        for call in stream.calls(shared, is_cluster=self.links.is_cluster):
            calls.append((call, pack(appender.command([each[0] for each in call]))))  # noqa: PERF401 (fast code: no further list)
        for frame, sent, idempotency, claims in keyed:
            command = appender.idempotent_command(frame, idempotency, claims=claims)
            calls.append(([(frame, Requests([sent], []))], pack(command)))
        self._appends.send(calls)
