"""A real server for the suite, emptied before each test and checked for undeclared keys after."""

from __future__ import annotations

import gc
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import pytest
import redis
from support import forking
from support.postgres import Postgres
from support.processes import HOSTS, Deployment, Process, Server, tributary
from support.site import Site

from tributary.history.database import Database
from tributary.settings import Settings
from tributary.store import keys

_DECLARED = re.compile(
    "|".join(
        re.escape(key.pattern).replace(r"\{p\}", r"\{\d+\}").replace("<key>", ".+")
        for key in keys.CATALOGUE
    )
)


# Background jobs of scripts and some CI systems start with SIGINT ignored, which children inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _state(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep tests from finding the servers of the user, and the user from finding theirs."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


# The examples of each property in the suite, and in `scripts/test --hypothesis-profile=long`.
hypothesis.settings.register_profile("suite", max_examples=25, deadline=None)
hypothesis.settings.register_profile("long", max_examples=10_000, deadline=None)
hypothesis.settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-fork", action="store_true", help="start every process of Python")


def pytest_configure(config: pytest.Config) -> None:
    """Fork the processes of tests; with many examples a property takes longer than a test may."""
    gc.disable()
    if not config.option.no_fork:
        forking.enable()
    if config.getoption("--hypothesis-profile") == "long":
        config.option.timeout = 0


def pytest_collection_finish() -> None:
    """Collect no garbage until here, and never again what is there: a million objects."""
    gc.freeze()
    gc.enable()


_APART = re.compile(r"^pytestmark = pytest\.mark\.(browser|kills)$", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import files without a wanted test, because each worker imports all others."""
    if not collection_path.name.startswith("test_"):
        return None
    source = collection_path.read_text()
    marker = config.option.markexpr.removesuffix(" and sample")
    if marker in ("browser", "kills"):
        return f"mark.{marker}" not in source or None
    if marker == "not browser and not kills":
        return _APART.search(source) is not None or None
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start files with slow tests first, so that no worker is busy long after the others."""
    folders = {"dashboard", "forget", "history", "jobs", "operate", "pipeline", "standalone"}
    slow = {
        item.path
        for item in items
        if item.get_closest_marker("slow") or item.path.parent.name in folders
    }
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("redis"))
    yield server
    server.close()


@pytest.fixture
def server(shared_server: Server) -> Iterator[Server]:
    """The server of the suite, empty; after the test it may have only keys of the catalogue."""
    shared_server.client.flushall()
    yield shared_server
    undeclared = undeclared_keys(shared_server.client)
    assert not undeclared, f"keys that are not in tributary/store/keys.py: {undeclared}"


def undeclared_keys(client: redis.Redis) -> list[str]:
    """Keys that are not in the catalogue."""
    names = [name.decode() for name in client.scan_iter(count=1000)]
    return [name for name in names if not _DECLARED.fullmatch(name)]


@pytest.fixture
def client(server: Server) -> redis.Redis:
    return server.client


@pytest.fixture
def settings(server: Server, tmp_path: Path) -> Settings:
    """The data directory does not exist yet, and is not that of the user."""
    data_dir = str(tmp_path / "data")
    return Settings(redis_url=server.url, data_dir=data_dir, heartbeat_ms=100, public_hosts=HOSTS)


@pytest.fixture
def change(settings: Settings) -> Callable[..., Settings]:
    """Return the settings of the test with some of them changed."""
    return lambda **changes: msgspec.structs.replace(settings, **changes)


@pytest.fixture
def run() -> Iterator[Callable[..., Process]]:
    """Run `tributary …` in the background until the end of the test."""
    started: list[Process] = []

    def start(*arguments: str, **options: object) -> Process:
        process = tributary(*arguments, **options)  # type: ignore[arg-type]
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a server for this test only, so that it can be killed or misconfigured."""
    started: list[Server] = []

    def start(**options: str) -> Server:
        server = Server(tmp_path / f"redis-{len(started)}", **options)
        started.append(server)
        return server

    yield start
    for server in started:
        server.close()


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Start a site for this test only, so that it can be restarted or changed."""
    started: list[Site] = []

    def start(**changes: Any) -> Site:
        started.append(Site(Server(tmp_path / f"redis-{len(started)}"), **changes))
        return started[-1]

    yield start
    for each in started:
        each.close()
        each.server.close()


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """`tributary up`, shared by tests that use distinct devices."""
    running = Deployment(tmp_path_factory.mktemp("up"))
    yield running
    assert running.stop() == 0, running.process.text


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A cluster for all tests of the session, each with its own database."""
    cluster = Postgres()
    yield cluster
    cluster.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def history(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """The settings of an empty history."""
    url = ""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").create()
    return Settings(data_dir=str(tmp_path / "data"), history_url=url)


@pytest.fixture
def open_history() -> Iterator[Callable[[Settings], Database]]:
    """Open databases until the end of the test."""
    opened: list[Database] = []

    def open_one(settings: Settings, *, migrate: bool = True) -> Database:
        opened.append(Database.open(settings, migrate=migrate))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@pytest.fixture
def db(history: Settings, open_history: Callable[[Settings], Database]) -> Database:
    return open_history(history)
