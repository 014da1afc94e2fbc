"""A cluster of PostgreSQL with its default settings, so commits wait for the disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg

from bench import launch

PROGRAMS = Path("/usr/lib/postgresql/15/bin")  # of Debian's package
_AS_NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")


def is_installed() -> bool:
    """Whether the programs are on this machine."""
    return (PROGRAMS / "postgres").exists()


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """Run a new cluster, as an unprivileged user if this is root; yields the URL of a database."""
    data = Path(tempfile.mkdtemp(prefix="tributary-bench-postgresql-"))
    prefix = ["env", "--chdir=/"]
    if os.geteuid() == 0:  # which PostgreSQL refuses
        shutil.chown(data, "nobody", "nogroup")
        prefix += _AS_NOBODY
    port = launch.free_port()
    address = f"postgresql://bench@127.0.0.1:{port}"
    server = [
        *(*prefix, str(PROGRAMS / "postgres"), "-D", f"{data}/data", "-p", str(port)),
        *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
    ]
    try:
        subprocess.run(
            [*prefix, PROGRAMS / "initdb", "--auth=trust", "--username=bench", "--encoding=UTF8",
             "--locale=C.UTF-8", f"--pgdata={data}/data"],
            check=True, capture_output=True,
        )  # fmt: skip
        log = folder / "postgresql.log"
        with launch.process(server, log) as running:
            launch.wait_until_ready(lambda: _accepts(address), running, log)
            with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
                connection.execute("CREATE DATABASE history")
            yield f"{address}/history"
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _accepts(address: str) -> bool:
    try:
        psycopg.connect(f"{address}/postgres", connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
