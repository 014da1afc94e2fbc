"""The pipelined connection: order, errors as values, and what happens when it is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from support.processes import Server

from tributary.errors import ConnectionGone, Misconfigured, TributaryError, Unavailable
from tributary.store import scripts
from tributary.store.pipe import Pipe, pack


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Pipe]:
    pipe = await Pipe.open(url)
    yield pipe
    pipe.close()
    await asyncio.sleep(0)


def test_replies_arrive_in_the_order_of_the_commands(server: Server):
    async def check() -> None:
        async with opened(server.url) as pipe:
            replies = await asyncio.gather(*(pipe.call("ECHO", str(n)) for n in range(1000)))
            assert replies == [str(n).encode() for n in range(1000)]

    asyncio.run(check())


def test_an_error_is_a_value_for_callbacks_and_raised_for_callers(server: Server):
    async def check() -> None:
        async with opened(server.url) as pipe:
            seen: list[object] = []
            pipe.send(pack(("NONSENSE",)), seen.append)
            with pytest.raises(TributaryError, match="unknown command"):
                await pipe.call("NONSENSE")
            assert isinstance(seen[0], Exception)
            assert await pipe.call("PING") == b"PONG"

    asyncio.run(check())


def test_a_lost_connection_fails_every_pending_command(own_server: Callable[..., Server]):
    server = own_server()

    async def check() -> None:
        async with opened(server.url) as pipe:
            await pipe.call("PING")  # a connection not yet accepted would not be killed
            waiting = [asyncio.ensure_future(pipe.call("BLPOP", f"none{n}", "0")) for n in range(3)]
            await asyncio.sleep(0)
            server.client.client_kill_filter(_type="normal", skipme=True)
            for outcome in await asyncio.gather(*waiting, return_exceptions=True):
                assert isinstance(outcome, ConnectionGone)
            assert not pipe.is_open
            with pytest.raises(ConnectionGone):
                await pipe.call("PING")

    asyncio.run(check())


def test_a_server_that_is_full_is_unavailable(own_server: Callable[..., Server]):
    server = own_server()

    async def check() -> None:
        async with opened(server.url) as pipe:
            await pipe.call("CONFIG", "SET", "maxmemory", "1")
            with pytest.raises(Unavailable, match="OOM"):
                await pipe.call("SET", "a", "b")
            await pipe.call("CONFIG", "SET", "maxmemory", "0")

    asyncio.run(check())


def test_it_logs_in_and_selects_the_database_of_the_url(own_server: Callable[..., Server]):
    server = own_server()
    server.client.config_set("requirepass", "s3cret")

    async def check() -> None:
        async with opened(f"{server.url}?db=3&password=s3cret") as pipe:
            await pipe.call("SET", "here", "1")
            with pytest.raises(TributaryError):
                await Pipe.open(server.url + "?password=wrong")

    try:
        asyncio.run(check())
    finally:
        server.client.config_set("requirepass", "")
    server.client.select(3)
    assert server.client.get("here") == b"1"


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "unix:///nowhere"])
def test_no_server_is_an_error_with_the_address(url: str):
    with pytest.raises(ConnectionGone, match="no Redis at"):
        asyncio.run(Pipe.open(url))


def test_another_scheme_is_misconfigured():
    with pytest.raises(Misconfigured, match="redis_url="):
        asyncio.run(Pipe.open("http://127.0.0.1"))


def test_a_script_that_redis_has_forgotten_is_sent_with_its_source(server: Server):
    async def check() -> None:
        async with opened(server.url) as pipe:
            await pipe.call("SCRIPT", "FLUSH")
            assert await pipe.call(*scripts.alive()) == []
            assert await pipe.call("SCRIPT", "EXISTS", scripts.SCRIPTS["alive"].sha) == [1]
            assert pipe.rejection is None

    asyncio.run(check())


def test_a_script_is_not_repeated_behind_what_was_sent_after_it(server: Server):
    async def check() -> None:
        async with opened(server.url) as pipe:
            pipe.is_in_order = True
            await pipe.call("SCRIPT", "FLUSH")
            first = pipe.request(*scripts.alive())
            assert await pipe.call("ECHO", "behind it") == b"behind it"
            assert "NOSCRIPT" in str(await first)
            assert await pipe.call(*scripts.alive()) == []  # with nothing behind it

    asyncio.run(check())


def test_writes_several_commands_behind_those_already_sent(server: Server):
    async def check() -> None:
        async with opened(server.url) as pipe:
            seen: list[object] = []
            pipe.send(pack(("ECHO", "1")), seen.append)
            pipe.write([(pack(("ECHO", str(n))), seen.append) for n in (2, 3)])
            await pipe.call("PING")
            assert seen == [b"1", b"2", b"3"]

    asyncio.run(check())
