"""The schema is created and migrated at start, by one process at a time, and never downgraded."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from alembic import autogenerate
from alembic.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from history.slot_data import slots_of
from sqlalchemy import text
from support.postgres import Postgres
from support.processes import ROOT

from tributary.errors import Misconfigured, NoHistory, Unavailable
from tributary.history import migrations, reads, schema
from tributary.history.database import Database, url_of
from tributary.history.position import Position
from tributary.history.schema import metadata
from tributary.history.slots import DAY_MS
from tributary.history.store import begin, positions
from tributary.settings import Settings, load

Open = Callable[..., Database]
_OPEN = """
import sys
from tributary.history.database import Database
from tributary.settings import Settings
Database.open(Settings(data_dir=sys.argv[1], history_url=sys.argv[2]), migrate=True).close()
"""


def test_two_processes_create_it_at_once(history: Settings, open_history: Open):
    command = [sys.executable, "-W", "error", "-c", _OPEN, history.data_dir, history.history_url]
    running = [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    open_history(history, migrate=False)


def test_the_tables_are_those_of_the_schema(db: Database):
    with db.reading() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": schema.REVISION_TABLE,
                "compare_type": True,
                "include_name": lambda name, kind, _: kind != "table" or name in metadata.tables,
            },
        )
        assert autogenerate.compare_metadata(context, metadata) == []


def test_without_a_history_the_error_names_what_creates_it(history: Settings, open_history: Open):
    with pytest.raises(NoHistory, match="`tributary jobs` creates it"):
        open_history(history, migrate=False)


def set_revision(db: Database, revision: str) -> None:
    with db.writing() as connection:
        connection.execute(text(f"UPDATE {schema.REVISION_TABLE} SET version_num = '{revision}'"))


@pytest.mark.parametrize("migrate", [True, False])
def test_a_newer_revision_is_refused(history: Settings, open_history: Open, *, migrate: bool):
    set_revision(open_history(history), "9999")
    with pytest.raises(Misconfigured, match=r"'9999', of a newer version .* cannot be downgraded"):
        open_history(history, migrate=migrate)


def test_the_schema_is_that_of_the_newest_revision():
    script = ScriptDirectory.from_config(migrations.config())
    assert script.get_current_head() == schema.REVISION


SCRIPTS = list(ScriptDirectory.from_config(migrations.config()).walk_revisions())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.revision)
def test_a_revision_cannot_be_undone(script: Script):
    with pytest.raises(Misconfigured, match="restore a backup"):
        script.module.downgrade()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.revision)
def test_an_old_revision_is_migrated_with_its_rows(
    history: Settings, open_history: Open, script: Script, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as old:
        old.setattr(schema, "REVISION", script.revision)
        old.setattr(migrations, "upgrade", partial(migrations.upgrade, to=script.revision))
        db = open_history(history)
    with begin(db, 3) as transaction:
        transaction.merge(slots_of([("car-1", "speed", 5, 1.5)]))
        transaction.advance(Position("1-0", 1, 1))
    if script.revision != schema.REVISION:
        with pytest.raises(Unavailable, match="start `tributary jobs` of this version"):
            open_history(history, migrate=False)
    db = open_history(history)
    assert positions(db) == {3: Position("1-0", 1, 1)}
    assert reads.read(db, "car-1", "speed", DAY_MS, 0, DAY_MS)[1]["mean"].tolist() == [1.5]


def test_a_reader_of_an_old_revision_waits_for_the_migration(
    history: Settings, open_history: Open, monkeypatch: pytest.MonkeyPatch
):
    open_history(history)
    monkeypatch.setattr(schema, "REVISION", "next")
    with pytest.raises(Unavailable, match="start `tributary jobs` of this version"):
        open_history(history, migrate=False)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://host/name", "unsupported scheme 'mysql'"),
        ("postgresql://host", "the name of the database is missing"),
        ("postgresql://host:port/name", "HISTORY_URL='postgresql://host:port/name': the port is"),
        ("postgresql://me:secret/@host/name", r"HISTORY_URL='postgresql://\*\*\*@host/name'"),
        ("mysql://me:secret@host/name", r"HISTORY_URL='mysql://\*\*\*@host/name'"),
    ],
)
def test_a_bad_url_is_reported_at_start(url: str, message: str):
    with pytest.raises(Misconfigured, match=message) as raised:
        load({"TRIBUTARY_HISTORY_URL": url})
    assert "secret" not in str(raised.value)


def test_the_url_names_the_driver(tmp_path: Path):
    assert url_of(Settings(data_dir=str(tmp_path))) == f"sqlite:///{tmp_path}/history.db"
    url = url_of(Settings(history_url="postgres://me:p%40ss@host:5433/name?sslmode=require"))
    assert url == "postgresql+psycopg://me:p%40ss@host:5433/name?sslmode=require"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"history_url": "{0}/none"}, Misconfigured, "createdb|create the user and the database"),
        ({"history_url": "postgresql://me:secret@127.0.0.1:1/name"}, Unavailable, r"me:\*\*\*@"),
    ],
    ids=["no database", "no server"],
)
def test_an_unusable_server_is_reported_with_a_remedy(
    postgres: Postgres,
    open_history: Open,
    change: dict[str, str],
    error: type[Exception],
    message: str,
):
    settings = Settings(**{name: text.format(postgres.address) for name, text in change.items()})
    with pytest.raises(error, match=message) as raised:
        open_history(settings)
    assert "secret" not in str(raised.value)


def test_a_file_that_is_not_a_database_is_reported(tmp_path: Path, open_history: Open):
    (tmp_path / "history.db").write_bytes(b"not a database" * 100)
    with pytest.raises(Misconfigured, match="move it away"):
        open_history(Settings(data_dir=str(tmp_path)))


def test_a_directory_that_cannot_be_created_is_reported(tmp_path: Path, open_history: Open):
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="TRIBUTARY_DATA_DIR"):
        open_history(Settings(data_dir=str(tmp_path / "file" / "data")))


def test_a_connection_that_the_server_ended_is_replaced(postgres: Postgres, open_history: Open):
    url = postgres.create()
    db = open_history(Settings(history_url=url))
    postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{url.rpartition('/')[2]}'"
    )
    with db.reading() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
