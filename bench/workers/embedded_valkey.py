"""A server of the benchmark's own, on a core of its own, persisting as the embedded one does."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import redis

from bench import launch, machine
from tributary.standalone.embedded_server import EmbeddedServer

CORE = 0


@contextlib.contextmanager
def started(binary: str = "") -> Iterator[tuple[str, redis.Redis]]:
    """Its URL and a client."""
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        embedded = EmbeddedServer(str(Path(folder) / "data"), binary)
        command = machine.pinned(CORE, embedded.command())
        log = Path(folder) / "log"
        with launch.process(command, log) as process:
            launch.wait_until_it_answers(embedded.is_ready, process, log)
            client = redis.Redis.from_url(embedded.url, socket_timeout=60)
            # A rewrite in one run and none in the next cannot be compared.
            client.config_set("auto-aof-rewrite-percentage", 0)
            yield embedded.url, client
            client.close()
        embedded.lock.close()


def busy_s(client: redis.Redis) -> float:
    """Processor time the server has used so far."""
    used = client.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])
