"""Forks processes that have the modules of all roles loaded; `forking.py` starts and uses it.

It has one thread and no state of its own, and ends with the process that started it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys

import fork_child
from fork_child import ROOT, Child, ForkingPopen

_PACKAGES = ("tributary", "ingest", "aggregator", "bridge", "api", "jobs")
_MESSAGE_MAX_BYTES, _FDS_MAX = 1 << 20, 64
# Programs, and scripts that Alembic runs.
_NOT_IMPORTED = ("__main__", "migrations")


def _load() -> None:
    """Import all modules of the roles, and what they import when it is needed."""
    for name in _PACKAGES:
        package = importlib.import_module(name)
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not any(part in found.name for part in _NOT_IMPORTED):
                importlib.import_module(found.name)
    for name in ("encodings.idna", "rich.table", "rich.live", "asyncio", "uvloop"):
        importlib.import_module(name)


def _answer(message: bytes, fds: list[int]) -> dict[str, int | None]:
    """Start a process, or look whether one has ended."""
    request = json.loads(message)
    if "poll" in request:
        pid, status = os.waitpid(request["poll"], os.WNOHANG)
        return {"status": status if pid else None}
    targets = request.pop("targets")
    try:
        child = Child(fds=dict(zip(targets, fds, strict=True)), **request)
        return {"pid": fork_child.fork(child)}
    except OSError as error:
        return {"errno": error.errno}
    finally:
        for fd in fds:
            os.close(fd)


def main(connection: socket.socket) -> None:
    """Serve one client until it closes the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _load()
    subprocess.Popen = ForkingPopen  # type: ignore[misc]
    gc.collect()
    gc.freeze()
    while True:
        message, fds, _, _ = socket.recv_fds(connection, _MESSAGE_MAX_BYTES, _FDS_MAX)
        if not message:
            return
        connection.send(json.dumps(_answer(message, fds)).encode())


if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # as with `python -m` there
    main(socket.socket(fileno=int(sys.argv[1])))
