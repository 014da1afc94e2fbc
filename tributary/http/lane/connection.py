"""One HTTP connection: requests in, responses out in order, limits on everything."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Any, cast

from tributary.http.lane import state as states
from tributary.http.lane.budget import Share
from tributary.http.lane.flow_control import FlowControl
from tributary.http.lane.framing import HEAD_END, CompleteRequest, Framer, check_line
from tributary.http.lane.general import GeneralServer
from tributary.http.lane.head import Head, Rejection
from tributary.http.lane.request import Handler, Request
from tributary.http.lane.router import CachedRoute
from tributary.http.lane.state import (
    CLOSED,
    CLOSING,
    DRAINING,
    FULL,
    HANDED_OVER,
    IDLE,
    LINGERING,
    READING,
    READING_BODY,
    REJECTING,
    SINGLE,
    State,
)

PIPELINED_MAX = 128
LAST_REQUEST_S = 1.0
_POLL_S = 0.01  # later than the next poll of the event loop
_READ_AHEAD_BYTES = 16_384
_LINGER_S = 2.0
_TOO_SLOW = Rejection(408, "too_slow", "the request did not arrive in time")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_NO_HEAD = Head()
_TAKES_REQUESTS = (READING, READING_BODY)


class Connection(asyncio.Protocol):
    """The protocol of uvicorn's server for each client; see state.py for its life.

    The context looks at `deadline_s` once per second and calls `expire`.
    """

    _transport: asyncio.Transport
    _flow: FlowControl

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        lane = config.loaded_app.lane
        self.deadline_s = math.inf
        self._state = IDLE
        self._context = lane.context
        self._router = lane.router
        self._uvicorn = (config, server_state, app_state, _loop)
        self._last: CachedRoute | None = None  # of the last request on the fast path
        self._framer = Framer(self._router.heads, self._context.body_max_bytes)
        self._requests: deque[Request] = deque()  # responses not sent yet, in order
        self._pending = Share(self._context.budget)  # the bodies of these requests
        self._received = Share(self._context.budget)  # received and not taken yet
        self._general: GeneralServer | None = None
        self._queued: CompleteRequest | None = None  # for the general server, after `_requests`
        self._is_stopping = False

    # Called by asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection, or reject it at the limit."""
        self._transport = cast(asyncio.Transport, transport)
        self._flow = FlowControl(self._transport)
        context = self._context
        if len(context.connections) >= context.connections_max:
            # Not registered, so it cannot expire or linger: close at once.
            self._state = CLOSING
            self._transport.write(context.responses.overloaded())
            self._transport.close()
            return
        context.connections.add(self)
        self._uvicorn[1].connections.add(self)
        self.deadline_s = context.idle_deadline_s

    def connection_lost(self, error: Exception | None) -> None:
        """Release what the client held; its pending responses go nowhere."""
        self._enter(CLOSED)
        self._context.connections.discard(self)
        self._uvicorn[1].connections.discard(self)
        self._pending.release(self._pending.held_bytes)
        self._received.resize(0)
        self._requests.clear()
        if self._general is not None:
            self._general.connection_lost(error)

    def eof_received(self) -> bool:
        """Take what has arrived; True keeps the transport open for the pending responses."""
        self._flow.is_eof = True
        if self._state is LINGERING:
            return False
        self._leave_fast_path()
        self._advance()
        return True

    def pause_writing(self) -> None:
        """The client does not read its responses: take no more of its requests."""
        self._flow.is_write_paused = True
        self._leave_fast_path()
        self.deadline_s = self._context.now_s + self._context.body_s
        self._flow.pause_reading()
        if self._general is not None:
            self._general.pause_writing()

    def resume_writing(self) -> None:
        """The client reads again: continue with its requests."""
        self._flow.is_write_paused = False
        if self._general is not None:
            self._general.resume_writing()
        if self._state >= LINGERING:
            return
        self._flow.resume_reading()
        if self._requests or self._state in (FULL, HANDED_OVER, DRAINING):
            self.deadline_s = math.inf
        elif self._state is READING:
            self._resume()
            return
        self._advance()

    def data_received(self, data: bytes) -> None:
        """Take the complete requests in it."""
        if self._state is IDLE:
            # Fast path: one complete request with a cached route, mostly that of the one before.
            cached = self._last
            if cached is None or not data.startswith(cached.raw):
                head = data[: data.find(HEAD_END) + len(HEAD_END)]
                cached = self._router.cached_routes.get(head) or self._router.cache_route(head)
                self._last = cached
            if cached is not None and len(data) == cached.request_bytes:
                self._state = SINGLE
                self.deadline_s = math.inf
                request = Request(self.settle, cached.head, cached.query, data[len(cached.raw) :])
                self._requests.append(request)
                self._handle(cached.handler, request)
                return
        if self._state <= SINGLE:
            self._enter(READING)
        if self._state < DRAINING:
            self._framer.feed(data)
            self._advance()

    # Called by uvicorn's server and the context.

    def shutdown(self) -> None:
        """The server stops: send the pending responses, or wait for one more request, then close.

        A proxy may just have connected, or a client be sending: closing at once would lose that.
        """
        self._context.close_streams()
        if self._state >= DRAINING:
            return
        self._is_stopping = True
        if self._requests or self._state is HANDED_OVER:
            self._enter(DRAINING)
            return
        self._leave_fast_path()
        # Twice, because a loop that is late runs its timers before it reads what has arrived.
        later = asyncio.get_running_loop().call_later
        later(LAST_REQUEST_S, later, _POLL_S, self._close_if_idle)

    def _close_if_idle(self) -> None:
        """Close unless a request has begun; that one has its deadline."""
        if self._state <= READING and not self._requests and not self._framer.unread_bytes:
            self._close()

    def expire(self) -> None:
        """The deadline has passed."""
        if self._flow.is_write_paused or self._state >= DRAINING:
            self._abort()
        elif self._framer.unread_bytes:
            self._reject(self._context.responses.rejection(_TOO_SLOW))
        else:
            self._close()

    def settle(self) -> None:
        """Send the responses that are ready, in the order of their requests."""
        if self._state is SINGLE:
            # Fast path. Idle before the write, which may pause writing.
            self._state = IDLE
            self.deadline_s = self._context.idle_deadline_s
            self._transport.write(self._requests.popleft().response)
            return
        requests, ready = self._requests, []
        while requests and requests[0].response:
            request = requests.popleft()
            if request.counted_bytes:
                self._pending.release(request.counted_bytes)
            ready.append(request.response)
        if ready and self._state < LINGERING:
            if self._is_stopping and not requests:
                ready[-1] = self._context.responses.closing(ready[-1])
            self._transport.write(ready[0] if len(ready) == 1 else b"".join(ready))
            if not requests:
                self._resume()

    # Requests.

    def _advance(self) -> None:
        """Take every complete request out of the received data."""
        while self._state in _TAKES_REQUESTS and not self._flow.is_write_paused:
            found = self._framer.next()
            if type(found) is CompleteRequest:
                if self._state is READING_BODY:
                    self._enter(READING)
                if self._received.held_bytes:
                    self._received.resize(0)
                self._take(found)
                if not self._framer.unread_bytes:
                    break
            elif found is None:
                self._await_more()
                break
            else:
                self._reject(self._rejection(cast(Rejection, found)))
        unread_bytes = self._framer.unread_bytes if self._state < DRAINING else 0
        if unread_bytes or self._received.held_bytes:
            self._count(unread_bytes)

    def _rejection(self, found: Rejection) -> bytes:
        """The response to an unreadable request; a route may have its own for a large body."""
        respond = self._router.too_large(self._framer.line) if found.status == 413 else None
        responses = self._context.responses
        response: bytes = responses.rejection(found) if respond is None else respond(found)
        return response

    def _count(self, unread_bytes: int) -> None:
        """Hold received data within the budget."""
        is_blocked = self._state in (FULL, HANDED_OVER) or self._flow.is_write_paused
        if not self._received.resize(unread_bytes):
            if is_blocked:
                self._abort()  # the pending responses may take any time
            else:
                self._reject(self._context.responses.overloaded())
        elif is_blocked and unread_bytes > _READ_AHEAD_BYTES:
            self._flow.pause_reading()

    def _take(self, found: CompleteRequest) -> None:
        head, body = found.head, found.body
        target = None if head.is_general else self._router.target(found.line)
        if target is None:
            self._hand_over(found)
            return
        handler, query = target
        request = Request(self.settle, head, query, body)
        self._requests.append(request)
        self.deadline_s = math.inf
        if self._is_stopping or not head.keep_alive:
            self._enter(DRAINING)  # RFC 9112 9.6: data behind it is discarded
        elif len(self._requests) >= PIPELINED_MAX:
            self._enter(FULL)
        if not self._pending.acquire(len(body)):
            request.body = b""
            request.respond(self._context.responses.overloaded())
            return
        request.counted_bytes = len(body)
        self._handle(handler, request)

    def _handle(self, handler: Handler, request: Request) -> None:
        try:
            handler(request)
        except Exception as error:  # becomes a response, and is logged if unexpected
            request.respond(self._context.responses.error(error, head=request.head))

    def _hand_over(self, found: CompleteRequest) -> None:
        """Queue a request for the general server, behind the pending responses."""
        rejection = check_line(found.line)
        if rejection is not None:
            self._reject(self._context.responses.rejection(rejection))
            return
        self._enter(DRAINING if self._is_stopping else HANDED_OVER)
        self._queued = found
        self.deadline_s = math.inf
        if not self._requests:
            self._resume()

    def _serve_queued(self, queued: CompleteRequest) -> None:
        self._queued = None
        if not self._pending.acquire(len(queued.body)):
            self._reject(self._context.responses.overloaded())
            return
        if self._general is None:
            self._general = GeneralServer(
                self._transport, self._on_general_response, self._close, self._uvicorn
            )
        self._general.data_received(queued.raw)

    def _on_general_response(self) -> None:
        self._pending.release(self._pending.held_bytes)
        self._resume()

    def _await_more(self) -> None:
        """Set the deadline of a request that has begun to arrive."""
        head, context = self._framer.awaited, self._context
        if self._flow.is_eof:
            self._enter(DRAINING)
            if not self._requests:
                self._close()
        elif self._requests:
            return
        elif head is None:
            if self._framer.unread_bytes:
                self.deadline_s = min(self.deadline_s, context.now_s + context.head_s)
        elif self._state is READING:
            self._enter(READING_BODY)
            self.deadline_s = context.now_s + context.body_s
            if head.expects_continue:
                self._transport.write(_CONTINUE)

    # States.

    def _enter(self, state: State) -> None:
        if state is not self._state:
            states.check_transition(self._state, state)
            self._state = state

    def _leave_fast_path(self) -> None:
        if self._state <= SINGLE:
            self._enter(READING)

    def _resume(self) -> None:
        """Continue after all responses are sent."""
        if self._queued is not None:
            self._serve_queued(self._queued)
        elif self._state >= DRAINING:
            self._close()
        elif self._flow.is_write_paused:
            self._enter(READING)  # `resume_writing` continues
        else:
            self.deadline_s = self._context.idle_deadline_s
            if self._flow.is_read_paused:
                self._flow.resume_reading()
            if self._framer.unread_bytes or self._flow.is_eof:
                if self._state is not READING:
                    self._enter(READING)
                asyncio.get_running_loop().call_soon(self._advance)
            else:
                self._enter(IDLE)

    def _reject(self, response: bytes) -> None:
        """Send a last response after the pending ones; discard what the client still sends."""
        self._enter(REJECTING)
        last = Request(self.settle, _NO_HEAD, b"", b"")
        self._requests.append(last)
        last.respond(response)

    def _close(self) -> None:
        """Close once the written responses are flushed."""
        context = self._context
        if self._state is REJECTING and not self._flow.is_eof:
            # A client that is still sending would lose the response in a reset.
            self._enter(LINGERING)
            self._transport.write_eof()
            self.deadline_s = context.now_s + _LINGER_S
        elif self._state < LINGERING:
            self._enter(CLOSING)
            self.deadline_s = context.now_s + context.body_s
            self._transport.close()

    def _abort(self) -> None:
        if self._state is not CLOSED:
            self._enter(CLOSING)
            self._transport.abort()
