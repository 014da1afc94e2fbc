"""The services of compose.yaml in containers of the engine, started by podman-compose."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from deploy import composefile
from support.processes import free_port
from support.waiting import wait_until

from engine.engine import Engine

# The image of each role.
IMAGES = {"ingest": "ingest", "api": "ingest", "aggregator": "worker", "jobs": "worker"}
ROLES = tuple(IMAGES)
PASSWORD = "not-a-secret"
_READY_S = 120.0
_TIMEOUT_S = 600


class Stack:
    """The services of compose.yaml in containers, under a project name of the tests."""

    def __init__(self, engine: Engine, project: str) -> None:
        self.engine = engine
        self.ports = {"ingest": free_port(), "api": free_port()}  # published by the proxy
        self.project = project
        self.environ = {
            **engine.environ,
            "REDIS_PASSWORD": PASSWORD,
            "IMAGE_TAG": project,
            "TRIBUTARY_HEARTBEAT_MS": "100",
            "INGEST_PUBLISH": f"127.0.0.1:{self.ports['ingest']}",
            "API_PUBLISH": f"127.0.0.1:{self.ports['api']}",
        }
        self.replicas = {
            name: int(each.get("deploy", {}).get("replicas", 1))
            for name, each in composefile.services().items()
            if "profiles" not in each
        }

    def compose(
        self, *words: str, check: bool = True, folder: Path = composefile.FOLDER, given: bytes = b""
    ) -> None:
        """One podman-compose command on the project."""
        command = [sys.executable, "-m", "podman_compose", "--podman-path"]
        command += [str(self.engine.wrapper), "-p", self.project, *words]
        replicas = {f"{name.upper()}_REPLICAS": str(n) for name, n in self.replicas.items()}
        done = subprocess.run(
            command, cwd=folder, env=self.environ | replicas, capture_output=True, input=given,
            timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout + done.stderr

    def url(self, service: str) -> str:
        """The published address of ingest or api."""
        return f"http://127.0.0.1:{self.ports[service]}"

    def image(self, service: str) -> str:
        """The name of the image of a role."""
        return f"localhost/tributary-{IMAGES[service]}:{self.project}"

    def name(self, service: str, number: int = 1) -> str:
        """The name of a container."""
        return f"{self.project}_{service}_{number}"

    @property
    def volume(self) -> str:
        """The name of the Redis volume."""
        return f"{self.project}_redis-data"

    @property
    def containers(self) -> list[str]:
        """The names of all containers, Redis last."""
        services = sorted(self.replicas, key=lambda name: name == "redis")
        return [
            self.name(service, number + 1)
            for service in services
            for number in range(self.replicas[service])
        ]

    def build(self) -> str:
        """Build the images with the labels of this checkout; the sizes as text."""
        printed = self.engine.script("images", self.project).decode()
        return "\n".join(line for line in printed.splitlines() if line.endswith(" bytes"))

    def up(self, *words: str, folder: Path = composefile.FOLDER) -> None:
        """Start services, by default all. podman-compose ignores conditions."""
        self.compose("up", "--detach", "--no-build", *words, folder=folder)

    def scale(self, service: str, count: int) -> None:
        """Start or stop replicas of a service, and wait until those that remain are healthy."""
        before, self.replicas[service] = self.replicas[service], count
        if count > before:
            self.up("--no-recreate", "--no-deps", service)
        for number in range(count, before):
            self.drop(self.name(service, number + 1))
        self.wait_healthy(*(self.name(service, number + 1) for number in range(count)))

    def replace(self, service: str, number: int, image: str) -> None:
        """Stop a container, and start one of another image in its place."""
        self.engine.run("tag", image, self.image(service))
        name = self.name(service, number)
        self.drop(name)
        self.up("--no-recreate", "--no-deps", service)
        self.wait_healthy(name)
        ids = [self.engine.inspect(*what)[key] for *what, key in (
            ("container", name, "Image"), ("image", image, "Id"),
        )]  # fmt: skip
        assert ids[0] == ids[1]

    def drop(self, container: str) -> None:
        """Stop and remove a container."""
        self.engine.run("stop", "--time", "20", container)
        self.engine.run("rm", container)

    def start(self) -> None:
        """Start all containers that are not running, Redis first, until they are healthy."""
        label = f"label=io.podman.compose.project={self.project}"
        listed = self.engine.run("ps", "--filter", label, "--format", "{{.Names}}").stdout
        running = listed.decode().split()
        stopped = [name for name in reversed(self.containers) if name not in running]
        for name in stopped:
            self.engine.run("start", name)
        if self.name("redis") in stopped:
            self.wait_healthy()
        elif stopped:
            self.wait_healthy(*stopped, self.name("proxy"))

    def wait_healthy(self, *containers: str) -> None:
        """Wait until these containers are healthy, by default all."""
        for name in containers or self.containers:
            wait_until(lambda name=name: self.is_healthy(name), f"{name} to be healthy", _READY_S)  # type: ignore[misc]

    def remove(self) -> None:
        """Remove containers, networks, volumes and images."""
        for command, names in (
            (("rm", "--force", "--time", "1", "--ignore"), self.containers),
            (("network", "rm", "--force"), [f"{self.project}_{n}" for n in ("store", "front")]),
            (("volume", "rm", "--force"), [self.volume, f"{self.project}_history"]),
            (("image", "rm", "--force"), sorted({self.image(role) for role in ROLES})),
        ):
            self.engine.run(*command, *names, check=False)

    def exec(self, container: str, *words: str, check: bool = True, given: bytes = b"") -> bytes:
        """Run a command in a container and return its output."""
        options = ("--interactive",) if given else ()
        done = self.engine.run("exec", *options, container, *words, given=given, check=check)
        return done.stdout

    def redis(self, *words: str) -> bytes:
        """Run valkey-cli in the container of Redis."""
        return self.exec(self.name("redis"), "valkey-cli", *words)

    def is_healthy(self, container: str) -> bool:
        """Run the health check once."""
        return self.engine.run("healthcheck", "run", container, check=False).returncode == 0
