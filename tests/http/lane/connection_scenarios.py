"""Scenarios that take a connection through its states; see test_connection.py."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

from support.raw import request

from lane.memory_client import CLOSING, GENERAL, LARGE, PARTIAL, POST, Client
from lane.shutdown_scenarios import (  # noqa: F401 - listed below
    a_request_on_its_way_is_taken_after_shutdown,
    shutdown_drains_every_state,
)
from tributary.http.lane.connection import PIPELINED_MAX
from tributary.http.lane.state import State

Connect = Callable[..., Client]
Scenario = Callable[[Connect], Awaitable[None]]


async def a_cached_request_takes_the_fast_path(connect: Connect):
    client = connect()
    assert client.send(POST) is State.READING
    assert client.respond() is State.IDLE
    client.prime()
    assert client.send(POST) is State.SINGLE
    assert client.respond() is State.IDLE
    assert client.statuses == [200]


async def data_behind_a_cached_request_ends_the_fast_path(connect: Connect):
    client = connect()
    client.prime()
    client.send(POST)
    assert client.send(POST[:9]) is State.READING
    assert client.respond() is State.READING
    await asyncio.sleep(0)
    client.send(POST[9:])
    assert client.respond() is State.IDLE
    assert client.statuses == [200, 200]


async def a_body_has_its_own_deadline(connect: Connect):
    client = connect()
    assert client.send(PARTIAL) is State.READING_BODY
    client.send(b'{"n":')
    assert client.send(b"123}") is State.READING
    assert client.respond() is State.IDLE
    client.send(PARTIAL)
    assert client.wait() is State.LINGERING
    assert client.statuses == [200, 408]
    assert client.wait() is State.CLOSING
    assert client.transport.ended == "abort"


async def a_full_pipeline_continues_when_it_is_empty(connect: Connect):
    client = connect()
    assert client.send(POST * PIPELINED_MAX) is State.FULL
    assert client.respond(PIPELINED_MAX) is State.IDLE
    assert client.send(POST * (PIPELINED_MAX + 1)) is State.FULL
    assert client.respond(PIPELINED_MAX) is State.READING
    await asyncio.sleep(0)
    assert client.respond() is State.IDLE
    assert client.statuses == [200] * (2 * PIPELINED_MAX + 1)


async def a_general_request_waits_for_those_before_it(connect: Connect):
    client = connect()
    assert client.send(POST + GENERAL + POST) is State.HANDED_OVER
    assert client.respond() is State.HANDED_OVER
    assert await client.general_responds() is State.READING
    assert client.respond() is State.IDLE
    assert client.statuses == [200, 204, 200]
    client.send(GENERAL)
    assert await client.general_responds() is State.IDLE


async def a_connection_that_the_general_server_closes(connect: Connect):
    client = connect()
    client.send(request("GET /other", None, "Connection: close"))
    assert await client.general_responds() is State.CLOSING
    assert client.transport.ended == "close"


async def nothing_is_taken_behind_a_closing_request(connect: Connect):
    client = connect()
    assert client.send(POST + CLOSING + POST) is State.DRAINING
    assert len(client.pending) == 2
    assert client.respond(2) is State.CLOSING
    assert client.wait() is State.CLOSING
    assert client.transport.ended == "abort"


async def a_rejection_comes_last(connect: Connect):
    client = connect()
    assert client.send(POST + b"BROKEN\r\n\r\n") is State.REJECTING
    assert client.send(POST) is State.REJECTING
    assert client.respond() is State.LINGERING
    assert client.send(POST) is State.LINGERING
    assert client.statuses == [200, 400]
    assert client.transport.ended == "eof"
    assert not client.connection.eof_received()


async def a_rejection_reaches_a_client_that_has_sent_everything(connect: Connect):
    client = connect()
    client.send(POST + b"BROKEN\r\n\r\n")
    assert client.connection.eof_received()
    assert client.respond() is State.CLOSING
    assert client.statuses == [200, 400]
    assert client.transport.ended == "close"


async def an_idle_client_is_disconnected(connect: Connect):
    client = connect()
    assert client.wait() is State.CLOSING
    assert client.statuses == []


async def a_client_beyond_the_limit_is_turned_away(connect: Connect):
    client = connect(connections_max=0)
    assert client.connection.state is State.CLOSING
    assert client.statuses == [503]


async def eof_drains(connect: Connect):
    client = connect()
    assert client.connection.eof_received()
    assert client.connection.state is State.CLOSING
    client = connect()
    client.prime()
    client.send(POST)
    client.connection.eof_received()
    assert client.connection.state is State.DRAINING
    assert client.respond() is State.CLOSING
    assert client.statuses == [200]
    client = connect()
    client.send(PARTIAL)
    client.connection.eof_received()
    assert client.connection.state is State.CLOSING


async def eof_behind_a_full_pipeline_is_noticed_at_its_end(connect: Connect):
    client = connect()
    client.send(POST * PIPELINED_MAX)
    client.connection.eof_received()
    assert client.respond(PIPELINED_MAX) is State.READING
    await asyncio.sleep(0)
    assert client.connection.state is State.CLOSING


async def a_general_request_over_the_budget_is_rejected(connect: Connect):
    for stops in (False, True):
        client = connect()
        client.send(POST + request("POST /other", b"{}"))
        client.exhaust()
        if stops:
            client.connection.shutdown()
        assert client.respond() is State.LINGERING
        assert client.statuses == [200, 503]


async def received_data_over_the_budget_is_rejected(connect: Connect):
    client = connect()
    client.exhaust()
    assert client.send(PARTIAL + b"{") is State.LINGERING
    assert client.statuses == [503]
    client = connect()
    client.send(PARTIAL)
    client.exhaust()
    assert client.send(b"{") is State.LINGERING


async def data_that_cannot_be_held_aborts_a_blocked_connection(connect: Connect):
    for blocked in (POST * PIPELINED_MAX, GENERAL):
        client = connect()
        client.send(blocked)
        client.exhaust()
        assert client.send(POST) is State.CLOSING
        assert client.transport.ended == "abort"


async def a_blocked_connection_reads_ahead_a_little(connect: Connect):
    client = connect()
    client.send(GENERAL)
    client.send(LARGE)
    assert not client.transport.is_reading
    assert await client.general_responds() is State.READING
    assert client.transport.is_reading


async def a_client_that_reads_nothing_is_taken_no_requests_from(connect: Connect):
    client = connect()
    client.prime()
    client.send(POST)
    client.transport.is_slow = True
    assert client.respond() is State.READING
    assert not client.transport.is_reading
    client.transport.is_slow = False
    client.send(POST)
    assert not client.pending
    client.connection.resume_writing()
    await asyncio.sleep(0)
    assert client.respond() is State.IDLE
    assert client.transport.is_reading


async def a_client_that_reads_nothing_is_disconnected(connect: Connect):
    for data in (b"", POST, PARTIAL, POST * PIPELINED_MAX, GENERAL, CLOSING):
        client = connect()
        client.send(data)
        client.connection.pause_writing()
        assert client.wait() is State.CLOSING
        assert client.transport.ended == "abort"
    client = connect()
    client.send(POST + b"BROKEN\r\n\r\n")
    client.connection.pause_writing()
    assert client.wait() is State.CLOSING


async def a_client_that_reads_again_continues(connect: Connect):
    for data, state in (
        (PARTIAL, State.READING_BODY),
        (POST * PIPELINED_MAX, State.FULL),
        (GENERAL, State.HANDED_OVER),
        (CLOSING, State.DRAINING),
        (b"", State.IDLE),
    ):
        client = connect()
        client.send(data)
        client.connection.pause_writing()
        client.wait(1)
        client.connection.resume_writing()
        assert client.connection.state is state
        assert client.transport.is_reading


async def a_slow_reader_is_waited_for_between_pipelines(connect: Connect):
    client = connect()
    client.send(POST * PIPELINED_MAX)
    client.transport.is_slow = True
    assert client.respond(PIPELINED_MAX) is State.READING
    assert not client.transport.is_reading
    deadline_s = client.connection.deadline_s
    assert deadline_s == client.clock_s + client.lane.context.body_s


async def a_continue_is_sent_once(connect: Connect):
    client = connect()
    client.transport.is_slow = True
    client.send(request("POST /record", None, "Content-Length: 2", "Expect: 100-continue"))
    client.connection.resume_writing()
    assert client.send(b"{}") is State.READING
    client.transport.is_slow = False
    assert client.respond() is State.IDLE
    assert client.statuses == [100, 200]


async def a_client_may_leave_in_every_state(connect: Connect):
    for data in (
        *(b"", POST, POST[:9], PARTIAL, POST * PIPELINED_MAX, GENERAL),
        *(CLOSING, POST + b"BROKEN\r\n\r\n", b"BROKEN\r\n\r\n"),
    ):
        client = connect()
        client.prime()
        client.send(data)
        client.connection.connection_lost(None)
        assert client.connection.state is State.CLOSED
        await client.serve_all()
        assert await client.general_responds() is State.CLOSED
        client.connection.expire()
        assert client.lane.context.budget.held_bytes == 0
        assert not client.lane.context.connections
        assert not client.transport.sent.strip(b"HTTP/1.1 400").startswith(b"200")
    client = connect()
    client.wait()
    client.connection.connection_lost(None)


SCENARIOS = [each for each in [*vars().values()] if inspect.iscoroutinefunction(each)]
