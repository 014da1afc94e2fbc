"""A Redis for one measurement: Debian's, on the core of the load, empty, gone afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import redis

from bench import launch, machine

PROGRAM = "redis-server"


@contextlib.contextmanager
def server(folder: Path, *, rewrites: bool = False) -> Iterator[int]:
    """Its port. The file is flushed every second, as the durability level `aof` wants.

    Without `rewrites` the append-only file only grows: no fork disturbs a short measurement.
    """
    port = launch.free_port()
    data, log = folder / "redis", folder / "redis.log"
    data.mkdir()
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(data),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "auto-aof-rewrite-percentage": "100" if rewrites else "0",
        "maxmemory-policy": "noeviction",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    command = machine.pinned(machine.LOAD_CORE, [PROGRAM, *words])
    with launch.process(command, log) as process, contextlib.closing(connect(port)) as client:
        launch.wait_until_it_answers(lambda: _answers(client), process, log)
        yield port


def connect(port: int) -> redis.Redis:
    """A client of that server."""
    return redis.Redis(port=port, socket_timeout=60)


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
