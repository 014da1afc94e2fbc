"""The states of a connection, and every transition between them."""

from __future__ import annotations

import enum


class State(enum.IntEnum):
    """What a connection does with the next bytes; from DRAINING on, they are discarded."""

    IDLE = 0  # nothing received, nothing pending: the fast path is open
    SINGLE = 1  # one request with a cached route is pending, nothing received after it
    READING = 2  # takes requests; the deadline, if any, is that of a head or of an idle client
    READING_BODY = 3  # waits for the rest of a body; its deadline runs
    FULL = 4  # as many requests are pending as may be; takes more when all are sent
    HANDED_OVER = 5  # the general server has, or is to get, a request; takes none until it is done
    DRAINING = 6  # takes no more requests; closes when the pending responses are sent
    REJECTING = 7  # like DRAINING; the last response is a rejection, the client may still send
    LINGERING = 8  # everything is sent and the write side closed; waits for the client to close
    CLOSING = 9  # closed on this side; buffered responses may still be flushed
    CLOSED = 10  # the connection is lost


IDLE, SINGLE, READING, READING_BODY, FULL, HANDED_OVER = list(State)[:6]
DRAINING, REJECTING, LINGERING, CLOSING, CLOSED = list(State)[6:]

_LOST = {CLOSED: "the client disconnected"}
_ENDS = {
    DRAINING: "shutdown, the last request after it, or no request will follow (Connection: close, EOF)",
    CLOSING: "idle for too long or at shutdown, aborted, or closed by the general server",
    **_LOST,
}
_REJECTS = {REJECTING: "malformed, too large, too slow, or over the budget"}

# state → next state → why
TRANSITIONS: dict[State, dict[State, str]] = {
    IDLE: {
        SINGLE: "one complete request with a cached route arrived",
        READING: "other data or EOF arrived, writing is paused, or shutdown",
        CLOSING: _ENDS[CLOSING],
        **_LOST,
    },
    SINGLE: {
        IDLE: "its response is sent",
        READING: "more data or EOF arrived, or writing is paused",
        DRAINING: "shutdown",
        **_LOST,
    },
    READING: {
        IDLE: "all responses are sent and nothing is buffered",
        READING_BODY: "a head is complete, its body is not, and no response is pending",
        FULL: "the limit of pending requests is reached",
        HANDED_OVER: "the request has no route in the lane",
        **_ENDS,
        **_REJECTS,
    },
    READING_BODY: {
        READING: "the body is complete",
        **_ENDS,
        **_REJECTS,
    },
    FULL: {
        IDLE: "all responses are sent and nothing is buffered",
        READING: "all responses are sent",
        **_ENDS,
    },
    HANDED_OVER: {
        IDLE: "the general server has responded and nothing is buffered",
        READING: "the general server has responded",
        **_ENDS,
        **_REJECTS,
    },
    DRAINING: {
        REJECTING: "the request that waits for the general server is over the budget",
        CLOSING: "all responses are sent",
        **_LOST,
    },
    REJECTING: {
        LINGERING: "all responses are sent",
        CLOSING: "aborted, or all is sent to a client that has sent EOF",
        **_LOST,
    },
    LINGERING: {
        CLOSING: "the client is still sending after the linger time",
        **_LOST,
    },
    CLOSING: {CLOSED: "the transport reports the end"},
    CLOSED: {},
}


class IllegalTransition(Exception):
    """A bug in the connection: the table does not have this transition."""


def check_transition(current: State, following: State) -> None:
    """Raise unless the table has the transition.

    Raises:
        IllegalTransition: it has not.
    """
    if following not in TRANSITIONS[current]:
        raise IllegalTransition(f"{current.name} → {following.name}")
