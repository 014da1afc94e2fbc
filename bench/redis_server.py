"""Redis servers for one measurement: empty at the start, deleted at the end."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import redis

from bench import launch, machine
from tributary.settings import Settings
from tributary.standalone.embedded_server import EmbeddedServer
from tributary.store import keys

PROGRAM = "redis-server"


class Usage(NamedTuple):
    """What a server has used since it started; without rewrites, its file only grows."""

    cpu_s: float
    file_bytes: int  # of the append-only file


class Cost(msgspec.Struct, frozen=True):
    """What a server used per reading (or per response)."""

    redis_us: float  # CPU time
    file_bytes: float  # of the append-only file


@contextlib.contextmanager
def start(folder: Path, *, rewrites: bool = False) -> Iterator[int]:
    """Run Debian's server on the load core, with fsync every second; yields its port.

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
    command = machine.pin(machine.LOAD_CORE, [PROGRAM, *words])
    with launch.process(command, log) as process, contextlib.closing(connect(port)) as client:
        launch.wait_until_ready(lambda: responds(client), process, log)
        yield port


@contextlib.contextmanager
def start_embedded(binary: str = "") -> Iterator[tuple[str, redis.Redis]]:
    """Run the embedded server on the server core; yields its URL and a client."""
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        embedded = EmbeddedServer(str(Path(folder) / "data"), binary)
        command = machine.pin(machine.SERVER_CORE, embedded.command())
        log = Path(folder) / "log"
        with launch.process(command, log) as process:
            launch.wait_until_ready(embedded.is_ready, process, log)
            client = redis.Redis.from_url(embedded.url, socket_timeout=60)
            # A run with a rewrite is not comparable to one without.
            client.config_set("auto-aof-rewrite-percentage", 0)
            yield embedded.url, client
            client.close()
        embedded.lock.close()


def connect(port: int) -> redis.Redis:
    """A client of a server on this port."""
    return redis.Redis(port=port, socket_timeout=60)


def version(client: redis.Redis) -> str:
    """The version of a Valkey or Redis server."""
    info = client.info("server")
    return str(info.get("valkey_version", info["redis_version"]))


def cpu_s(client: redis.Redis) -> float:
    """CPU time the server has used."""
    used = client.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


def usage(client: redis.Redis) -> Usage:
    """What the server has used until now."""
    return Usage(cpu_s(client), int(client.info("persistence").get("aof_current_size", 0)))


def cost(before: Usage, after: Usage, readings: float) -> Cost:
    """The difference of two usages, per reading; not a number without readings."""
    per = readings or float("nan")
    return Cost(
        (after.cpu_s - before.cpu_s) / per * 1e6, (after.file_bytes - before.file_bytes) / per
    )


def partitions(client: redis.Redis) -> int:
    """The number of partitions of the deployment, which the first process to start stored."""
    return int(client.hget(keys.CONFIG, "partitions") or Settings().partitions)


def responds(client: redis.Redis) -> bool:
    """Whether a server replies."""
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
