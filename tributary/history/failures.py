"""Errors of the databases → errors of Tributary, with a remedy.

What may succeed later is `Unavailable`; what an operator must change is `Misconfigured`. Anything
else, like a malformed statement, is a bug and raised as it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import exc

from tributary.errors import Misconfigured, TributaryError, Unavailable

_TIMEOUT = "; raise TRIBUTARY_HISTORY_TIMEOUT_MS if the database is healthy"
_URL = "; correct TRIBUTARY_HISTORY_URL"
# By SQLSTATE or its class, https://www.postgresql.org/docs/15/errcodes-appendix.html
_UNAVAILABLE = {
    "57014": f"a statement took too long{_TIMEOUT}",
    "55P03": f"a lock was held for too long{_TIMEOUT}",
    "23514": "a partition was removed meanwhile; the next attempt creates it",
    "40": "it conflicted with another transaction; the next attempt may succeed",
    "53": "the server lacks resources; free disk space or connections, or raise "
    "max_locks_per_transaction",
    "57": "the server is stopping or starting; wait for it",
    "58": "the server met an error of its system; see its log",
    "08": f"the connection failed; start the server{_URL.replace(';', ' or')}",
}
_MISCONFIGURED = {
    "28": f"the server rejected the user{_URL}",
    "3D": "create the database with createdb",
    "42501": "grant the user CREATE on the schema, and access to the tables",
    "XX001": "data is corrupted; restore the database from a backup",
}
# By primary result code, https://www.sqlite.org/rescode.html
_SQLITE_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY: f"another process is writing{_TIMEOUT}",
    sqlite3.SQLITE_LOCKED: f"another connection is writing{_TIMEOUT}",
    sqlite3.SQLITE_INTERRUPT: f"a statement took too long{_TIMEOUT}",
    sqlite3.SQLITE_FULL: "the disk is full; free space",
    sqlite3.SQLITE_IOERR: "the disk reports an error; see the log of the system",
    sqlite3.SQLITE_NOMEM: "memory is exhausted; free memory",
}
_SQLITE_MISCONFIGURED = {
    sqlite3.SQLITE_CANTOPEN: "make the data directory accessible to this user",
    sqlite3.SQLITE_PERM: "make the file accessible to this user",
    sqlite3.SQLITE_READONLY: "make the file and its directory writable for this user",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore it from a backup",
    sqlite3.SQLITE_NOTADB: "the file is not a database of SQLite; move it away",
}
_REJECTED = ("authentication failed", "does not exist", "no password supplied", "pg_hba.conf")


@contextmanager
def translated(address: str) -> Iterator[None]:
    """Raise errors of the database at `address` as those of Tributary.

    Raises:
        Unavailable: the same may succeed later.
        Misconfigured: an operator must act.
    """
    try:
        yield
    except exc.DBAPIError as error:
        cause = error.orig if error.orig is not None else error
        raise (_translation(cause, address) or error) from error
    except (psycopg.Error, sqlite3.Error) as error:
        raise (_translation(error, address) or error) from error
    except exc.TimeoutError as error:
        raise Unavailable(
            f"history {address}: all connections of this process are in use; send fewer requests"
        ) from error


def _translation(error: BaseException, address: str) -> TributaryError | None:
    detail = (str(error).strip().splitlines() or [type(error).__name__])[0]
    found = _of_sqlite(error) if isinstance(error, sqlite3.Error) else _of_postgresql(error)
    if found is None:
        return None
    kind, remedy = found
    return kind(f"history {address}: {detail}: {remedy}")


def _of_postgresql(error: BaseException) -> tuple[type[TributaryError], str] | None:
    state = getattr(error, "sqlstate", None) or ""
    for kind, remedies in ((Unavailable, _UNAVAILABLE), (Misconfigured, _MISCONFIGURED)):
        remedy = remedies.get(state) or remedies.get(state[:2])
        if remedy:
            return kind, remedy
    if state or not isinstance(error, psycopg.OperationalError):
        return None
    if any(text in str(error) for text in _REJECTED):  # while connecting, without a state
        return Misconfigured, "create the user and the database, or" + _URL[1:]
    return Unavailable, _UNAVAILABLE["08"]


def _of_sqlite(error: sqlite3.Error) -> tuple[type[TributaryError], str] | None:
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if primary in _SQLITE_UNAVAILABLE:
        return Unavailable, _SQLITE_UNAVAILABLE[primary]
    if primary in _SQLITE_MISCONFIGURED:
        return Misconfigured, _SQLITE_MISCONFIGURED[primary]
    return None
