"""SIGTERM: pending requests get responses, and what got a 200 is stored exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from support import pipeline
from support.processes import HOSTS, Process, Server, stopped
from support.raw import connected, post, request
from support.waiting import wait_until
from uvicorn import Config

from tributary.http.lane.connection import Connection
from tributary.http.lane.lane import Lane
from tributary.http.lane.server import DrainingServer
from tributary.settings import Settings
from tributary.store import keys

COUNT = 40
_ESTABLISHED = "01"


def is_read(port: int) -> bool:
    """Whether the server has read everything from the sockets of its port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    here = [row for row in rows if row[1].endswith(f":{port:04X}") and row[3] == _ESTABLISHED]
    return all(row[4].endswith(":00000000") for row in here)


def is_serving(url: str) -> bool:
    try:
        with connected(url) as raw:
            raw.send(request("GET /healthz", None, "Connection: close"))
            return [response.status for response in raw.responses()] == [200]
    except OSError:
        return False


def test_requests_that_wait_for_redis_are_answered_on_sigterm(
    own_server: Callable[..., Server], run: Callable[..., Process]
):
    server = own_server()
    settings = Settings(
        redis_url=server.url, redis_timeout_ms=20_000, partitions=1, public_hosts=HOSTS
    )
    ingest = run("ingest", "--port", "0", environ=pipeline.environ(settings))
    url = pipeline.serving(ingest)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(url)) for _ in range(COUNT)]
        idle = stack.enter_context(connected(url))
        begun = stack.enter_context(connected(url))
        for number, client in enumerate(clients):
            client.send(post(f"before-{number}"))
            response = client.response()
            assert response is not None
            assert response.status == 200
        with stopped(server.process):
            for number, client in enumerate(clients):
                client.send(post(f"under-way-{number}"))
            wait_until(lambda: is_read(urlsplit(url).port or 0), "the requests to be read")
            assert is_serving(url)
            late = post("late")
            begun.send(late[:-1])
            wait_until(lambda: is_read(urlsplit(url).port or 0), "the begun request to be read")
            ingest.signal(signal.SIGTERM)
            wait_until(lambda: not is_serving(url), "the server to stop listening")
            assert idle.responses() == []
            begun.send(late[-1:])
        for client in (*clients, begun):
            (response,) = client.responses()
            assert response.status == 200
            assert b"\r\nConnection: close\r\n" in response.head
    assert ingest.end() == 0, ingest.text
    counts = server.client.hgetall(keys.meta(0))
    assert int(counts[b"accepted"]) == 2 * COUNT + 1


class App:
    """A lane without routes, and what is behind it."""

    def __init__(self) -> None:
        self.lane = Lane(Settings())

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def test_connections_that_wait_at_the_port_are_served():
    """uvicorn would reset them: their clients have sent requests, and nobody has taken them."""

    async def stop(port: socket.socket) -> list[bytes]:
        config = Config(App(), http=Connection, lifespan="off", log_config=None)
        config.load()
        config.loaded_app = config.app
        server = DrainingServer(config)
        server.lifespan = config.lifespan_class(config)
        server.servers = []  # it takes none by itself
        clients = [socket.create_connection(port.getsockname()) for _ in range(COUNT)]
        for client in clients:
            client.sendall(request("GET /", None, "Connection: close"))
        await server.shutdown([port])
        received = [await asyncio.to_thread(client.recv, 1 << 16) for client in clients]
        for client in clients:
            client.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        return received

    with socket.create_server(("127.0.0.1", 0)) as port:
        address = port.getsockname()
        received = asyncio.run(stop(port))
    assert [response.split(b" ")[1] for response in received] == [b"204"] * COUNT
