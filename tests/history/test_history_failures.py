"""Errors of the databases become errors of Tributary that name the remedy; bugs stay bugs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from history.slot_data import slots_of
from sqlalchemy import exc, text
from support.postgres import Postgres
from support.waiting import wait_until

from tributary.errors import Misconfigured, Unavailable
from tributary.history.database import Database
from tributary.history.position import Position
from tributary.history.slots import DAY_MS
from tributary.history.store import begin, positions
from tributary.settings import Settings

Open = Callable[..., Database]
MANY = [(f"car-{n}", "speed", n * DAY_MS, 1.0) for n in range(2_000)]


def merge(db: Database) -> None:
    with begin(db, 0) as transaction:
        transaction.merge(slots_of(MANY))
        transaction.advance(Position("1-0", 1, 1))


def execute(db: Database, statement: str) -> None:
    with db.writing() as connection:
        connection.execute(text(statement))


def test_a_full_disk_is_unavailable_and_nothing_is_written(tmp_path: Path, open_history: Open):
    db = open_history(Settings(data_dir=str(tmp_path)))
    with db.reading() as connection:  # the connection stays in the pool
        pages = connection.scalar(text("PRAGMA page_count"))
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 5}")
    with pytest.raises(Unavailable, match="disk is full: the disk is full; free space"):
        merge(db)
    assert positions(db) == {}


def test_a_damaged_file_is_misconfigured(tmp_path: Path, open_history: Open):
    db = open_history(Settings(data_dir=str(tmp_path)))
    merge(db)
    db.scrub()
    db.close()
    with (tmp_path / "history.db").open("r+b") as file:
        file.seek(4096)
        file.write(bytes(40_960))
    with pytest.raises(Misconfigured, match="restore it from a backup"):
        merge(open_history(Settings(data_dir=str(tmp_path))))


@pytest.mark.parametrize(
    ("statement", "error", "message"),
    [
        (
            "SET LOCAL statement_timeout = 100; SELECT pg_sleep(60)",
            Unavailable,
            "a statement took too long; raise TRIBUTARY_HISTORY_T",
        ),
        ("SET LOCAL ROLE stranger; SELECT * FROM days", Misconfigured, "grant the user CREATE"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", Unavailable, "the server is stopping"),
        ("SELECT 1e308 * 1e308::float8", exc.DataError, "out of range"),
    ],
    ids=["timeout", "no permission", "ended", "a bug"],
)
def test_an_error_of_postgresql_is_translated(
    postgres: Postgres, open_history: Open, statement: str, error: type[Exception], message: str
):
    db = open_history(Settings(history_url=postgres.create()))
    if not postgres.execute("SELECT 1 FROM pg_roles WHERE rolname = 'stranger'"):
        postgres.execute("CREATE ROLE stranger")
    with pytest.raises(error, match=message):
        execute(db, statement)
    merge(db)


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    cluster = Postgres(is_durable=True)
    yield cluster
    cluster.close()


@pytest.mark.kills
def test_a_server_that_is_killed_is_unavailable_until_it_is_back(
    own_postgres: Postgres, open_history: Open
):
    db = open_history(Settings(history_url=own_postgres.create()))
    merge(db)
    own_postgres.process.signal(signal.SIGKILL)
    own_postgres.process.end()
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"start the server|stopping or starting"):
            merge(db)
    own_postgres.start()
    wait_until(lambda: positions(db) == {0: Position("1-0", 1, 1)}, "the position")
    merge(db)
