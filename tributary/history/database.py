"""The connection to the history: SQLite in the data directory, or PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NoReturn

import sqlalchemy
from sqlalchemy import Connection, Engine

from tributary.errors import Misconfigured, NoHistory, Unavailable
from tributary.history import postgres, schema, sqlite, url
from tributary.history.dialect import Dialect
from tributary.history.failures import translated
from tributary.settings import Settings


def url_of(settings: Settings) -> str:
    """The URL of the database for SQLAlchemy; the path of a file is absolute."""
    if settings.history_url:
        return url.to_sqlalchemy(settings.history_url)
    return f"sqlite:///{sqlite.path_of(settings)}"


class Database:
    """The connections of one process, which its threads may share; a child opens its own."""

    def __init__(self, engine: Engine, dialect: Dialect, address: str) -> None:
        self.engine = engine
        self.dialect = dialect
        self.address = address  # without the password
        self._writer = engine.execution_options(**{sqlite.IMMEDIATE: True})

    @classmethod
    def open(cls, settings: Settings, *, migrate: bool) -> Database:
        """Connect, and create or migrate the tables if `migrate`; processes wait for each other.

        Raises:
            NoHistory: there are no tables, and `migrate` is false.
            Unavailable: the database is, or nobody has migrated it yet.
            Misconfigured: the user is rejected, or a newer version has migrated the database.
        """
        dialect: Dialect = postgres.PostgreSQL() if settings.history_url else sqlite.SQLite()
        address = sqlalchemy.make_url(url_of(settings)).render_as_string(hide_password=True)
        if not settings.history_url and not sqlite.path_of(settings).exists():
            if not migrate:
                raise NoHistory(f"{address}: {NoHistory.__doc__}")
            _create_file(settings, address)
        database = cls(dialect.create_engine(settings), dialect, address)
        with ExitStack() as on_error:
            on_error.callback(database.close)
            database._check_revision(migrate=migrate)
            on_error.pop_all()
        return database

    def close(self) -> None:
        """Close the connections that are not in use."""
        self.engine.dispose()

    def __reduce__(self) -> NoReturn:
        """A connection cannot be sent to another process."""
        raise TypeError("a Database cannot be pickled; open it in the process that uses it")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads; it waits for no writer.

        Raises:
            Unavailable, Misconfigured: see `failures`.
        """
        with translated(self.address), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes, committed at the end; on SQLite there is one at a time.

        Raises:
            Unavailable, Misconfigured: see `failures`.
        """
        with translated(self.address), self._writer.begin() as connection:
            yield connection

    def scrub(self) -> None:
        """Overwrite what deleted rows have left in the files of the database.

        PostgreSQL keeps old versions in its write-ahead log until it reuses those files.
        """
        with translated(self.address):
            self.dialect.scrub(self.engine)

    def _revision(self) -> str | None:
        with self.reading() as connection:
            if not sqlalchemy.inspect(connection).has_table(schema.REVISION_TABLE):
                return None
            query = f"SELECT version_num FROM {schema.REVISION_TABLE}"  # noqa: S608
            return str(connection.scalar(sqlalchemy.text(query)))

    def _check_revision(self, *, migrate: bool) -> None:
        found = self._revision()
        if found == schema.REVISION:
            return
        from tributary.history import migrations  # noqa: PLC0415 (Alembic, which readers rarely need)

        if found is not None and not migrations.is_known(found):
            raise Misconfigured(
                f"history {self.address} has revision {found!r}, of a newer version of Tributary, "
                "and cannot be downgraded; run that version, or restore an older backup"
            )
        if migrate:
            with self.writing() as connection:
                self.dialect.lock_schema(connection)
                migrations.upgrade(connection)
        elif found is None:
            raise NoHistory(f"{self.address}: {NoHistory.__doc__}")
        else:
            raise Unavailable(
                f"history {self.address} has revision {found!r}, not {schema.REVISION!r}; "
                "start `tributary jobs` of this version, which migrates it"
            )


def _create_file(settings: Settings, address: str) -> None:
    try:
        with translated(address):
            sqlite.create_file(settings)
    except OSError as error:
        raise Misconfigured(
            f"history {address} cannot be created: {error.strerror}; make TRIBUTARY_DATA_DIR "
            "writable for this user"
        ) from error
