"""A Redis Cluster of primaries for one measurement."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from bench import launch, machine, redis_server

_SLOTS = 16_384
_BUS = 10_000  # the port of the cluster bus is the other one plus this
_TIMEOUT_S = 30.0


@contextlib.contextmanager
def start(folder: Path, primaries: int) -> Iterator[list[redis.Redis]]:
    """Run primaries with equal shares of the slots on the load core; yields a client of each."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(_node(folder / str(n))) for n in range(primaries)]
        for number, client in enumerate(clients):
            first, last = number * _SLOTS // primaries, (number + 1) * _SLOTS // primaries - 1
            _call(client, "CLUSTER", "ADDSLOTSRANGE", first, last)
            if number:
                _call(clients[0], "CLUSTER", "MEET", "127.0.0.1", _port(client))
        deadline_s = time.monotonic() + _TIMEOUT_S
        while not all(b"cluster_state:ok" in _call(each, "CLUSTER", "INFO") for each in clients):
            if time.monotonic() > deadline_s:
                raise SystemExit("bench: the nodes of the cluster do not agree")
            time.sleep(0.05)
        yield clients


def url(clients: list[redis.Redis]) -> str:
    """The `redis_url` of one server, or of the nodes of a cluster."""
    return "redis://" + ",".join(f"127.0.0.1:{_port(client)}" for client in clients) + "/0"


@contextlib.contextmanager
def _node(folder: Path) -> Iterator[redis.Redis]:
    folder.mkdir()
    port = _free_port()
    words = (
        f"--port {port} --bind 127.0.0.1 --dir {folder} --save  --appendonly yes "
        "--appendfsync everysec --auto-aof-rewrite-percentage 0 --cluster-enabled yes"
    )
    command = machine.pin(machine.LOAD_CORE, [redis_server.PROGRAM, *words.split(" ")])
    with launch.process(command, folder / "log") as running:
        client = redis_server.connect(port)
        launch.wait_until_ready(lambda: redis_server.responds(client), running, folder / "log")
        yield client
        client.close()


def _free_port() -> int:
    while (port := launch.free_port()) + _BUS >= 1 << 16:
        pass
    return port


def _port(client: redis.Redis) -> int:
    return int(client.connection_pool.connection_kwargs["port"])


def _call(client: redis.Redis, *command: Any) -> Any:
    return client.execute_command(*command)  # type: ignore[no-untyped-call]
