"""Scenarios of the end of a server; see connection_scenarios.py."""

from __future__ import annotations

from collections.abc import Callable

from lane.memory_client import CLOSING, GENERAL, PARTIAL, POST, Client
from tributary.http.lane.connection import PIPELINED_MAX
from tributary.http.lane.state import State

Connect = Callable[..., Client]


async def shutdown_drains_every_state(connect: Connect):
    for data, expected in (
        (POST, State.DRAINING),
        (POST * PIPELINED_MAX, State.DRAINING),
        (GENERAL, State.DRAINING),
        (POST + CLOSING, State.DRAINING),
    ):
        client = connect()
        client.prime()
        client.send(data)
        client.connection.shutdown()
        assert client.connection.state is expected
        await client.serve_all()
        assert await client.general_responds() is State.CLOSING
        assert client.transport.ended == "close"


async def a_request_on_its_way_is_taken_after_shutdown(connect: Connect):
    for before, after in (
        (b"", POST),
        (POST[:9], POST[9:]),
        (PARTIAL, b'{"n":123}'),
        (b"", GENERAL),
    ):
        client = connect()
        client.prime()
        client.send(before)
        client.connection.shutdown()
        assert client.connection.state in (State.READING, State.READING_BODY)
        assert client.send(after) is State.DRAINING
        await client.serve_all()
        assert await client.general_responds() is State.CLOSING
        assert client.statuses == [204 if after is GENERAL else 200]
        assert client.transport.ended == "close"
