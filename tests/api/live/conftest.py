from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from support.processes import Server
from support.site import Site
from support.sse import Ear


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A deployment shared by the tests of a module; each uses its own devices."""
    server = Server(tmp_path_factory.mktemp("redis"))
    running = Site(server, stale_after_ms=60_000)
    yield running
    running.close()
    server.close()


@pytest.fixture
def listen() -> Iterator[Callable[..., Ear]]:
    """Listen to a site until the end of the test."""
    ears: list[Ear] = []

    def start(site: Site, query: str = "", **headers: str) -> Ear:
        ears.append(Ear(site.url, query, **headers))
        return ears[-1]

    yield start
    for ear in ears:
        ear.close()
