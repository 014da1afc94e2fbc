"""One HTTP connection: requests in, answers out in their order, limits on everything."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING, Any, cast

from tributary.lane.framing import Framer, Whole, check_line
from tributary.lane.general import General
from tributary.lane.head import CLOSING, Fault
from tributary.lane.request import Request

if TYPE_CHECKING:
    from tributary.lane.lane import Lane

PIPELINED_MAX = 128
_READ_AHEAD_BYTES = 262_144
_LINGER_S = 2.0
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(asyncio.Protocol):
    """The protocol that uvicorn's server makes for each client that connects."""

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        self._lane: Lane = config.loaded_app.lane
        self.deadline_s = math.inf
        self._uvicorn = (config, server_state, app_state, _loop)
        self._siblings: set[Any] = server_state.connections
        self._transport: asyncio.Transport | None = None
        self._framer = Framer(self._lane.heads, self._lane.limits.body_max_bytes)
        self._requests: deque[Request] = deque()  # not yet answered, in order
        self._reserved_bytes = 0  # of the budget: what this connection has under way
        self._general: General | None = None
        self._handed_over: Whole | None = None  # to the general server, once its turn comes
        self._is_held = False  # nothing more is taken for now
        self._is_ending = False  # the connection ends when what is under way is answered
        self._is_refused = False  # what else the client sends is not looked at
        self._is_write_paused = False
        self._is_read_paused = False

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast(asyncio.Transport, transport)
        if len(self._lane.connections) >= self._lane.limits.connections_max:
            self._write_last(self._lane.answers.overloaded())
            return
        self._lane.connections.add(self)
        self._siblings.add(self)
        self._rest()

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone; what is under way is answered to nobody."""
        self._transport = None
        self._lane.connections.discard(self)
        self._siblings.discard(self)
        self._reserve(0)
        self._requests.clear()
        if self._general is not None:
            self._general.lost(error)

    def eof_received(self) -> bool:
        """The client has sent all it will, and may still wait for answers."""
        self._is_ending = True
        return bool(self._requests or self._is_held) and not self._is_refused

    def pause_writing(self) -> None:
        """The client does not read its answers: take no more of its requests."""
        self._is_write_paused = True
        self.deadline_s = self._lane.now_s + self._lane.limits.body_s
        self._pause_reading()
        if self._general is not None:
            self._general.pause_writing()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._is_write_paused = False
        self._rest()
        self._resume_reading()
        if self._general is not None:
            self._general.resume_writing()
        self._advance()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if self._is_refused:
            return
        self._framer.feed(data)
        if not self._is_held:
            self._advance()
        elif self._framer.unread_bytes > _READ_AHEAD_BYTES:
            self._pause_reading()

    # What the server and the lane tell.

    def shutdown(self) -> None:
        """The server stops: answer what is under way, then end."""
        self._is_ending = True
        if not self._requests and not self._is_held:
            self._end()

    def expire(self) -> None:
        """The deadline has passed."""
        if (self._is_write_paused or self._is_refused) and self._transport is not None:
            self._transport.abort()
        elif self._framer.unread_bytes:
            self._refuse(Fault(408, "too_slow", "the request did not arrive in time"))
        else:
            self._end()

    def settle(self) -> None:
        """Send the answers that are ready, in the order of their requests."""
        requests, ready = self._requests, []
        while requests and (payload := requests[0].payload) is not None:
            request = requests.popleft()
            ready.append(payload)
            self._reserved_bytes -= len(request.body)
            self._lane.in_flight_bytes -= len(request.body)
            if not request.head.keep_alive:
                self._is_ending = True
                requests.clear()
        if ready and self._transport is not None:
            self._transport.write(ready[0] if len(ready) == 1 else b"".join(ready))
            if not requests:
                self._all_answered()

    def general_done(self) -> None:
        """The general server has answered what it was given."""
        self._reserve(0)
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
            if type(found) is Whole:
                self._take(found)
            elif found is None:
                self._await_more()
                return
            else:
                self._refuse(cast(Fault, found))

    def _take(self, whole: Whole) -> None:
        line, head, body = whole
        target = None if head.is_general else self._lane.target(line)
        if target is None:
            self._hand_over(whole)
            return
        handle, query = target
        request = Request(self, head, query, body)
        self._requests.append(request)
        self.deadline_s = math.inf
        if len(self._requests) >= PIPELINED_MAX:
            self._is_held = True
        if self._reserved_bytes and len(self._requests) == 1:
            self._reserve(0)  # it was for this body, as it arrived
        if not self._lane.has_room(len(body)):
            request.body = b""
            request.answer(self._lane.answers.overloaded())
            return
        self._lane.in_flight_bytes += len(body)
        self._reserved_bytes += len(body)
        try:
            handle(request)
        except Exception as error:  # told to the client, and logged if nobody expected it
            request.answer(self._lane.answers.failure(error))

    def _hand_over(self, whole: Whole) -> None:
        """Give a request to the general server, when the answers before it are sent."""
        fault = check_line(whole.line)
        if fault is not None:
            self._refuse(fault)
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
        if not self._reserve(len(whole.body)):
            self._write_last(self._lane.answers.overloaded())
            return
        if self._general is None:
            self._general = General(self, self._transport, self._uvicorn)
        self._general.serve(whole.raw)

    def _await_more(self) -> None:
        """Set the deadline of what has begun to arrive, and the budget aside for its body."""
        limits, head = self._lane.limits, self._framer.awaited
        if self._requests or not self._framer.unread_bytes:
            return
        if head is None:
            self.deadline_s = min(self.deadline_s, self._lane.now_s + limits.head_s)
        elif not self._reserved_bytes:
            self.deadline_s = self._lane.now_s + limits.body_s
            if not self._reserve(max(1, head.length)):
                self._write_last(self._lane.answers.overloaded())
            elif head.expects_continue and self._transport is not None:
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
        if self._framer.unread_bytes:
            asyncio.get_running_loop().call_soon(self._advance)

    def _pause_reading(self) -> None:
        if self._transport is not None and not self._is_read_paused:
            self._is_read_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._transport is not None and self._is_read_paused:
            self._is_read_paused = False
            self._transport.resume_reading()

    def _rest(self) -> None:
        self.deadline_s = self._lane.now_s + self._lane.limits.idle_s

    def _reserve(self, wanted_bytes: int) -> bool:
        """Hold so much of the budget from here on; False: the budget does not allow it."""
        more_bytes = wanted_bytes - self._reserved_bytes
        if more_bytes > 0 and not self._lane.has_room(more_bytes):
            return False
        self._lane.in_flight_bytes += more_bytes
        self._reserved_bytes = wanted_bytes
        return True

    def _refuse(self, fault: Fault) -> None:
        """Answer after what is under way, and end: where the next request begins is not known."""
        self._is_ending = self._is_refused = True
        last = Request(self, CLOSING, b"", b"")
        self._requests.append(last)
        last.answer(self._lane.answers.fault(fault))

    def _write_last(self, payload: bytes) -> None:
        if self._transport is not None:
            self._transport.write(payload)
        self._end()

    def _end(self) -> None:
        if self._transport is None:
            return
        if self._is_refused:
            # Closed at once, a client that is still sending would see a reset, and no answer.
            self._transport.write_eof()
            self.deadline_s = self._lane.now_s + _LINGER_S
        else:
            self._transport.close()
