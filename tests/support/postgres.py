"""A real PostgreSQL for tests: Debian's postgresql-15, as an unprivileged user, on a loopback port."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg
import pytest

from support.processes import Process, free_port
from support.waiting import wait_until

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
_USER = "tributary"
_FAST = ("fsync=off", "full_page_writes=off")
_SETTINGS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=100",
    "shared_buffers=64MB",
)


class Postgres:
    """A cluster with its own data; `is_durable`: it survives a power failure, and is slower.

    `more_settings`: lines of postgresql.conf.
    """

    def __init__(self, *more_settings: str, is_durable: bool = False) -> None:
        if not (PROGRAMS / "postgres").exists():
            (pytest.fail if "CI" in os.environ else pytest.skip)("postgresql-15 is not installed")
        # Not below the folder of the test, which other users cannot enter.
        self.folder = Path(tempfile.mkdtemp(prefix="tributary-postgres-"))
        self._as_user: dict[str, Any] = {"cwd": "/"}
        if os.geteuid() == 0:  # which PostgreSQL refuses
            user = pwd.getpwnam("nobody")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as_user |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._settings = (*_SETTINGS, *more_settings, *(() if is_durable else _FAST))
        self.port = free_port()
        self.address = f"postgresql://{_USER}@127.0.0.1:{self.port}"
        self._databases = 0
        subprocess.run(
            [
                *(PROGRAMS / "initdb", "--auth=trust", f"--username={_USER}", "--no-sync"),
                *("--encoding=UTF8", "--locale=C.UTF-8", f"--pgdata={self.folder}/data"),
            ],
            check=True, capture_output=True, **self._as_user,
        )  # fmt: skip
        self.start()

    def start(self) -> None:
        """Start on the existing data, and wait until it accepts connections."""
        options = [word for each in self._settings for word in ("-c", each)]
        self.process = Process(
            [
                str(PROGRAMS / "postgres"),
                *("-D", f"{self.folder}/data", "-p", str(self.port), *options),
            ],
            **self._as_user,
        )
        wait_until(self._accepts, "PostgreSQL to accept connections")

    def create(self) -> str:
        """The URL of a new database."""
        self._databases += 1
        name = f"test_{self._databases}"
        self.execute(f"CREATE DATABASE {name}")
        return f"{self.address}/{name}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement outside a transaction; returns its rows."""
        with psycopg.connect(f"{self.address}/{database}", autocommit=True) as connection:
            done = connection.execute(statement)
            return done.fetchall() if done.description else []

    def kill(self) -> None:
        """SIGKILL to the server; its children notice, and exit."""
        self.process.kill()

    def stop(self) -> None:
        """Stop at once, in order: sessions are ended."""
        self.process.signal(signal.SIGINT)
        self.process.end()

    def close(self) -> None:
        """Stop, and delete the data."""
        if self.process.popen.poll() is None:
            self.stop()
        shutil.rmtree(self.folder)

    def _accepts(self) -> bool:
        if self.process.popen.poll() is not None:
            raise AssertionError(f"PostgreSQL ended: {self.process.text}")
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True
