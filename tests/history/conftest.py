"""The same tests on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.postgres import Postgres

from tributary.history.database import Database
from tributary.settings import Settings


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
