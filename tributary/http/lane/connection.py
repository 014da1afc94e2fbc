"""One HTTP connection: requests in, answers out in their order, limits on everything."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Any, cast

from tributary.http.lane.budget import Share
from tributary.http.lane.framing import HEAD_END, CompleteRequest, Framer, check_line
from tributary.http.lane.general import General
from tributary.http.lane.head import CLOSING, Rejection
from tributary.http.lane.request import Handle, Request
from tributary.http.lane.wire import Wire

PIPELINED_MAX = 128
_READ_AHEAD_BYTES = 16_384
_TOO_SLOW = Rejection(408, "too_slow", "the request did not arrive in time")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(Wire):
    """The protocol that uvicorn's server makes for each client that connects."""

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config.loaded_app.lane)
        self._uvicorn = (config, server_state, app_state, _loop)
        self._siblings: set[Any] = server_state.connections
        self._framer = Framer(self._lane.heads, self._lane.limits.body_max_bytes)
        self._requests: deque[Request] = deque()  # not yet answered, in order
        self._under_way = Share(self._lane.budget)  # the bodies of these requests
        self._coming = Share(self._lane.budget)  # what has come and is not taken yet
        self._general: General | None = None
        self._handed_over: CompleteRequest | None = None  # waits for the general server
        self._is_body_awaited = False
        self._is_held = False  # nothing more is taken for now
        self._is_half_closed = False  # the client has sent everything, and may wait for answers
        self._is_ending = False  # the connection ends when what is under way is answered
        self._is_write_paused = False
        self._is_resting = False  # nothing is under way, and nothing has come
        self._is_alone = False  # one usual request is under way, and nothing has come behind it

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast(asyncio.Transport, transport)
        if len(self._lane.connections) >= self._lane.limits.connections_max:
            # No lingering: a connection beyond the cap is in nobody's list.
            transport.write(self._lane.responses.overloaded())  # type: ignore[attr-defined]
            transport.close()
            return
        self._lane.connections.add(self)
        self._siblings.add(self)
        self._rest()
        self._is_resting = True

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone; what is under way is answered to nobody."""
        self._transport = None
        self._is_ending = True
        self._is_alone = False
        self._lane.connections.discard(self)
        self._siblings.discard(self)
        self._under_way.release(self._under_way.held_bytes)
        self._coming.resize(0)
        self._requests.clear()
        if self._general is not None:
            self._general.lost(error)

    def eof_received(self) -> bool:
        """The client has sent all it will, and may still wait for answers."""
        self._is_half_closed = True
        self._is_resting = self._is_alone = False
        if self._is_refused:
            return False
        self._advance()
        return True  # the transport stays open: what has come is answered first

    def pause_writing(self) -> None:
        """The client does not read its answers: take no more of its requests."""
        self._is_write_paused = True
        self._is_resting = self._is_alone = False
        self.deadline_s = self._lane.now_s + self._lane.limits.body_s
        self._pause_reading()
        if self._general is not None:
            self._general.pause_writing()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._is_write_paused = False
        self.deadline_s = math.inf
        if not self._is_busy:
            self._rest()
        self._resume_reading()
        if self._general is not None:
            self._general.resume_writing()
        self._advance()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if self._is_resting:
            # Fast code: one request that looks like one of before, whole, and nothing else to do.
            end = data.find(HEAD_END) + len(HEAD_END)
            usual = self._lane.cached_routes.get(data[:end]) or self._lane.cache_route(data[:end])
            if usual is not None and len(data) - end == usual.head.length:
                self._is_resting, self._is_alone = False, True
                self.deadline_s = math.inf
                request = Request(self, usual.head, usual.query, data[end:])
                self._requests.append(request)
                self._run(usual.handle, request)
                return
            self._is_resting = False
        self._is_alone = False
        if self._is_ending:
            return  # and nothing more of this client is looked at
        self._framer.feed(data)
        self._advance()

    # What the server and the lane tell.

    def shutdown(self) -> None:
        """The server stops: answer what is under way, then end."""
        self._is_ending = True
        self._is_resting = self._is_alone = False
        self._lane.close_streams()
        if not self._requests and not self._is_held:
            self._end()

    @property
    def _is_busy(self) -> bool:
        """Whether there is something to answer, or answers are still to be read."""
        return bool(self._requests) or self._is_held or self._is_write_paused

    def expire(self) -> None:
        """The deadline has passed."""
        if self._transport is None:
            return
        if self._is_write_paused or self._is_refused or self._transport.is_closing():
            self._transport.abort()
        elif self._framer.unread_bytes:
            self._refuse(self._lane.responses.rejection(_TOO_SLOW))
        else:
            self._end()

    def settle(self) -> None:
        """Send the answers that are ready, in the order of their requests."""
        if self._is_alone and self._transport is not None:
            # Fast code. At rest before the write, which may pause writing.
            self._is_alone, self._is_resting = False, True
            self._rest()
            self._transport.write(cast(bytes, self._requests.popleft().payload))
            return
        requests, ready = self._requests, []
        while requests and (payload := requests[0].payload) is not None:
            counted_bytes = requests.popleft().counted_bytes
            if counted_bytes:
                self._under_way.release(counted_bytes)
            ready.append(payload)
        if ready and self._transport is not None:
            self._transport.write(ready[0] if len(ready) == 1 else b"".join(ready))
            if not requests:
                self._all_answered()

    def general_done(self) -> None:
        """The general server has answered what it was given."""
        self._under_way.release(self._under_way.held_bytes)
        self._resume()

    def end_after_general(self) -> None:
        """The general server wants the connection to end with its answer."""
        self._is_ending = True
        self._end()

    # One request after the other.

    def _advance(self) -> None:
        """Take every whole request out of what has come."""
        while not (self._is_held or self._is_ending or self._is_write_paused):
            found = self._framer.next()
            if type(found) is CompleteRequest:
                self._is_body_awaited = False
                if self._coming.held_bytes:
                    self._coming.resize(0)
                self._take(found)
                if not self._framer.unread_bytes:
                    return
            elif found is None:
                self._await_more()
                break
            else:
                self._refuse(self._lane.responses.rejection(cast(Rejection, found)))
        come_bytes = 0 if self._is_ending else self._framer.unread_bytes
        if come_bytes or self._coming.held_bytes:
            self._count(come_bytes)

    def _count(self, come_bytes: int) -> None:
        """Hold what waits here, or for its rest, within the budget."""
        if not self._coming.resize(come_bytes):
            if (self._is_held or self._is_write_paused) and self._transport is not None:
                self._transport.abort()  # what is to be answered first may take its time
            else:
                self._refuse(self._lane.responses.overloaded())
        elif come_bytes > _READ_AHEAD_BYTES and self._is_held:
            self._pause_reading()

    def _take(self, whole: CompleteRequest) -> None:
        head, body = whole.head, whole.body
        target = None if head.is_general else self._lane.target(whole.line)
        if target is None:
            self._hand_over(whole)
            return
        handle, query = target
        request = Request(self, head, query, body)
        self._requests.append(request)
        self.deadline_s = math.inf
        if not head.keep_alive:
            self._is_ending = True  # RFC 9112 9.6: what comes behind it is not looked at
        if len(self._requests) >= PIPELINED_MAX:
            self._is_held = True
        if not self._under_way.take(len(body)):
            request.body = b""
            request.respond(self._lane.responses.overloaded())
            return
        request.counted_bytes = len(body)
        self._run(handle, request)

    def _run(self, handle: Handle, request: Request) -> None:
        try:
            handle(request)
        except Exception as error:  # told to the client, and logged if nobody expected it
            request.respond(self._lane.responses.error(error))

    def _hand_over(self, whole: CompleteRequest) -> None:
        """Give a request to the general server, when the answers before it are sent."""
        rejection = check_line(whole.line)
        if rejection is not None:
            self._refuse(self._lane.responses.rejection(rejection))
            return
        self._is_held = True
        self._handed_over = whole
        self.deadline_s = math.inf
        if not self._requests:
            self._start_general()

    def _start_general(self) -> None:
        whole, self._handed_over = self._handed_over, None
        if whole is None or self._transport is None:
            return
        if not self._under_way.take(len(whole.body)):
            self._refuse(self._lane.responses.overloaded())
            return
        if self._general is None:
            self._general = General(self, self._transport, self._uvicorn)
        self._general.serve(whole.raw)

    def _await_more(self) -> None:
        """Set the deadline of what has begun to arrive."""
        if self._requests:
            return
        limits, head = self._lane.limits, self._framer.awaited
        if self._is_half_closed:
            self._end()
        elif head is None:
            if self._framer.unread_bytes:
                self.deadline_s = min(self.deadline_s, self._lane.now_s + limits.head_s)
        elif not self._is_body_awaited:
            self._is_body_awaited = True
            self.deadline_s = self._lane.now_s + limits.body_s
            if head.expects_continue and self._transport is not None:
                self._transport.write(_CONTINUE)

    def _all_answered(self) -> None:
        if self._handed_over is not None:
            self._start_general()
        else:
            self._resume()

    def _resume(self) -> None:
        """Everything taken is answered: rest, or go on with what has come meanwhile."""
        if self._is_ending:
            self._end()
            return
        self._rest()
        if self._is_held:
            self._is_held = False
            self._resume_reading()
        if self._framer.unread_bytes or self._is_half_closed:
            asyncio.get_running_loop().call_soon(self._advance)
        else:
            self._is_resting = True

    def _refuse(self, payload: bytes) -> None:
        """Answer after what is under way, and end: the rest of what is sent is not wanted."""
        self._is_ending = self._is_refused = True
        last = Request(self, CLOSING, b"", b"")
        self._requests.append(last)
        last.respond(payload)
