"""The database of a spool: its lock, its format, and what happens to a corrupt file."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from loguru import logger

from tributary.errors import Misconfigured, TributaryError

CORRUPT_KEPT_MAX = 3
_APPLICATION_ID = 0x54524942  # "TRIB"
_VERSION = 1
_FILE_MODE = 0o600
_DISK_CODES = frozenset((
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
))  # fmt: skip
_SIDE_FILES = ("", "-wal", "-shm")
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE reading (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE batch (
  first INTEGER PRIMARY KEY, last INTEGER NOT NULL, key TEXT NOT NULL, sent_s REAL,
  lifetime_s REAL, failures INTEGER NOT NULL DEFAULT 0, is_uncertain INTEGER NOT NULL DEFAULT 0);
CREATE TABLE delivered (device TEXT PRIMARY KEY, newest_ms INTEGER NOT NULL);
CREATE TABLE counter (name TEXT PRIMARY KEY, count INTEGER NOT NULL);
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_VERSION};
COMMIT;
"""


class SpoolError(TributaryError):
    """The spool file cannot be read or written."""


class SpoolDatabase:
    """The open and locked file of a spool. Thread-safe.

    Raises:
        Misconfigured: the file is in use, or is not a spool.
        SpoolError: the file cannot be read or written; every method raises it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mutex = threading.RLock()
        with contextlib.ExitStack() as stack:
            self._lock = stack.enter_context(_lock(path))
            self.connection, self.corrupt_files = _connect(path)
            stack.callback(self.connection.close)
            with translated(path):
                _mark(self._lock)
            stack.pop_all()  # keep both open

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Exclude other threads, and raise `SpoolError` for errors of SQLite."""
        with self._mutex, translated(self._path):
            yield

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction that is on the disk at the end, or rolled back after an exception."""
        with self.reading():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            finally:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")

    def row(self, query: str, *parameters: Any) -> tuple[Any, ...] | None:
        """The first row of a query."""
        row: tuple[Any, ...] | None = self.connection.execute(query, parameters).fetchone()
        return row

    def one(self, query: str, *parameters: Any) -> tuple[Any, ...]:
        """The first row of a query that has one."""
        row = self.row(query, *parameters)
        assert row is not None
        return row

    def close(self) -> None:
        """Close the file and release its lock."""
        with self._mutex:
            self.connection.close()
            self._lock.close()


def _lock(path: Path) -> IO[bytes]:
    """Lock a spool file for this process; close the result to release it.

    Raises:
        Misconfigured: another process or object uses the file, or it cannot be created.
    """
    try:
        file = open(_lock_path(path), "a+b", opener=_opener)  # noqa: SIM115 (held until closed)
    except OSError as error:
        raise Misconfigured(
            f"the spool {path} cannot be opened: {error.strerror}; choose a writable directory"
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise Misconfigured(
            f"the spool {path} is in use by another process or Spool; give each its own file, "
            f"for example {path.with_name(path.stem + '-2' + path.suffix)}"
        ) from None
    return file


def _connect(path: Path) -> tuple[sqlite3.Connection, int]:
    """Open or create the file; returns the connection and the number of files moved aside.

    Call it with the lock. A corrupt file is renamed to `NAME.corrupt-1`, up to
    `CORRUPT_KEPT_MAX`; the oldest is replaced.

    Raises:
        Misconfigured: the file is not a spool, or one of a newer version.
        SpoolError: the file cannot be read or written.
    """
    try:
        return _open(path), 0
    except OSError as error:
        raise Misconfigured(
            f"the spool {path} cannot be opened: {error.strerror}; choose another path"
        ) from None
    except sqlite3.OperationalError as error:
        raise _failure(path, error) from None
    except sqlite3.DatabaseError as error:
        with translated(path):
            aside = _move_aside(path)
        logger.bind(action="spool", path=str(path), moved_to=str(aside), error=str(error)).error(
            "corrupt spool file moved aside; its readings are not delivered"
        )
    with translated(path):
        return _open(path), 1


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise `SpoolError` with a remedy instead of the errors of SQLite and the system."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _failure(path, error) from None


def _failure(path: Path, error: sqlite3.Error | OSError) -> SpoolError:
    """The error with a remedy."""
    # The extended codes have the primary one in their lowest byte.
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if isinstance(error, OSError) or code in _DISK_CODES:
        remedy = "free space on its disk and check its permissions; what was recorded is kept"
    elif code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        remedy = "another program has locked it; close that"
    elif isinstance(error, sqlite3.ProgrammingError):
        remedy = "it is closed; create a new Spool"
    else:
        remedy = "restart the program: a corrupt file is then moved aside and a new one is created"
    return SpoolError(f"the spool {path} cannot be used: {error}; {remedy}")


def _open(path: Path) -> sqlite3.Connection:
    is_known = path.exists() and path.stat().st_size > 0
    if is_known and not _was_spool(path):
        raise Misconfigured(f"{path} is not a spool; choose a path that no other program uses")
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, _FILE_MODE))  # SQLite would use the umask
    database = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
    with contextlib.ExitStack() as stack:
        stack.callback(database.close)
        _prepare(path, database)
        stack.pop_all()
    return database


def _prepare(path: Path, database: sqlite3.Connection) -> None:
    version, program = _pragma(database, "user_version"), _pragma(database, "application_id")
    is_new = program == version == 0 and _is_empty(database)
    if program != _APPLICATION_ID and not is_new:
        raise Misconfigured(
            f"{path} is a database of another program; choose a path that no other program uses"
        )
    if version != _VERSION and not is_new:
        raise Misconfigured(
            f"{path} is a spool of version {version}, not {_VERSION}; use the tributary that "
            "wrote it, or choose another path"
        )
    path.chmod(_FILE_MODE)  # before SQLite creates the other files with the same mode
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "journal_size_limit = 4194304"):
        database.execute(f"PRAGMA {pragma}")
    if is_new:
        database.executescript(_SCHEMA)
        return
    (result,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if result != "ok":
        raise sqlite3.DatabaseError(result)


def _pragma(database: sqlite3.Connection, name: str) -> int:
    (value,) = database.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _is_empty(database: sqlite3.Connection) -> bool:
    return database.execute("SELECT 1 FROM sqlite_schema").fetchone() is None


def _was_spool(path: Path) -> bool:
    """Whether this is a database, or was one: a lock file that a spool has written is beside it."""
    with path.open("rb") as file:
        if file.read(16) == b"SQLite format 3\0":
            return True
    return _lock_path(path).read_bytes() != b""


def _mark(file: IO[bytes]) -> None:
    """Note in the lock file that there is a spool beside it."""
    if file.seek(0, os.SEEK_END) == 0:
        file.write(b"tributary spool\n")
        file.flush()
        os.fsync(file.fileno())


def _move_aside(path: Path) -> Path:
    taken = [n for n in range(1, CORRUPT_KEPT_MAX + 1) if _aside(path, n).exists()]
    if len(taken) == CORRUPT_KEPT_MAX:
        number = min(taken, key=lambda n: _aside(path, n).stat().st_mtime_ns)
    else:
        number = next(n for n in range(1, CORRUPT_KEPT_MAX + 1) if n not in taken)
    for suffix in _SIDE_FILES:
        old, new = Path(f"{path}{suffix}"), Path(f"{_aside(path, number)}{suffix}")
        new.unlink(missing_ok=True)
        if old.exists():
            old.rename(new)
    _aside(path, number).touch()
    return _aside(path, number)


def _aside(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.corrupt-{number}")


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + "-lock")


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags, _FILE_MODE)
