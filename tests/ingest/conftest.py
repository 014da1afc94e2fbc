"""The lane and Flask alone, sharing a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
import redis
from support.processes import Server
from support.waiting import wait_until
from support.webs import Web

from tributary.auth import tokens
from tributary.operate import status
from tributary.settings import Settings


@pytest.fixture(scope="module")
def web_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("webs"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def web_client(web_server: Server) -> redis.Redis:
    return web_server.client


@pytest.fixture(scope="module")
def start_web(web_server: Server) -> Iterator[Callable[..., Web]]:
    """Start an HTTP process with other settings."""
    started: list[Web] = []

    def start(**changes: Any) -> Web:
        settings = msgspec.structs.replace(Settings(redis_url=web_server.url), **changes)
        started.append(Web(settings))
        return started[-1]

    yield start
    for web in started:
        web.close()


@pytest.fixture(scope="module")
def lane(start_web: Callable[..., Web]) -> Web:
    return start_web(lane=True)


@pytest.fixture(scope="module")
def flask(start_web: Callable[..., Web]) -> Web:
    return start_web(lane=False)


@pytest.fixture(params=["lane", "flask"])
def web(
    request: pytest.FixtureRequest, lane: Web, flask: Web, web_client: redis.Redis
) -> Iterator[Web]:
    """Runs each test with the lane and without it."""
    version = tokens.version(web_client)
    yield {"lane": lane, "flask": flask}[request.param]
    if tokens.version(web_client) != version and not tokens.load(web_client).by_digest:
        for each in (lane, flask):  # each polls the tokens by itself
            wait_until(
                lambda each=each: each.ask("POST", "/record", b"").status != 401, "no tokens"
            )


@pytest.fixture
def accepted(web_server: Server) -> Callable[[], int]:
    """Returns the number of readings accepted so far."""
    settings = Settings(redis_url=web_server.url)
    return lambda: int(status.read(web_server.client, settings).accepted)
