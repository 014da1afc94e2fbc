"""TLS with client certificates: a server that demands them, on every path to Redis."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import pipeline
from support.certificates import Certificates
from support.cluster import free_ports
from support.pipeline import Run
from support.processes import request
from support.programs import needed
from support.sentinels import Node
from support.waiting import wait_until

from tributary.errors import ConnectionGone, Misconfigured, TributaryError, Unavailable
from tributary.settings import Settings
from tributary.store import redis_client
from tributary.store.pipe import Pipe
from tributary.store.topology import Nodes


class Secured:
    """A server and a sentinel that watches it; both demand certificates of their clients."""

    def __init__(self, folder: Path) -> None:
        needed("redis-server")
        self.certificates = Certificates(folder / "certificates")
        ports, config = free_ports(), self.certificates.config
        port, self.server_port, self.sentinel_port = next(ports), next(ports), next(ports)
        self._server = Node(
            folder / "server",
            port,
            f'{config}tls-port {self.server_port}\nappendonly yes\nsave ""\n',
        )
        watched = f"sentinel monitor cars 127.0.0.1 {self.server_port} 1\n"
        own = f"{config}tls-port {self.sentinel_port}\n{watched}"
        self._sentinel = Node(folder / "sentinel", next(ports), own, "--sentinel")

    def close(self) -> None:
        self._sentinel.close()
        self._server.close()

    def url(self, options: str = "", *, is_sentinel: bool = False) -> str:
        if is_sentinel:
            return f"rediss+sentinel://127.0.0.1:{self.sentinel_port}/cars/0?{options}"
        return f"rediss://127.0.0.1:{self.server_port}/0?{options}"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    running = Secured(tmp_path_factory.mktemp("secured"))
    yield running
    running.close()


async def _ping(url: str) -> object:
    with contextlib.closing(await Nodes(url, 2000).open("key")) as pipe:
        return await pipe.call("PING")


def _ping_with_redis_py(url: str) -> object:
    client = redis_client.connect(Settings(redis_url=url))
    with contextlib.closing(client), redis_client.failures():
        return client.ping()


def paths() -> list[Callable[[str], object]]:
    return [lambda url: asyncio.run(_ping(url)), _ping_with_redis_py]


@pytest.mark.parametrize("is_sentinel", [False, True], ids=["server", "sentinel"])
@pytest.mark.parametrize("ping", paths(), ids=["lane", "redis-py"])
def test_the_client_certificate_of_the_url_is_used(
    secured: Secured, ping: Callable[[str], object], *, is_sentinel: bool
):
    assert ping(secured.url(secured.certificates.options, is_sentinel=is_sentinel))
    authority = f"ssl_ca_certs={secured.certificates.folder}/ca.pem"
    with pytest.raises(Unavailable):
        ping(secured.url(authority, is_sentinel=is_sentinel))


def test_every_role_connects_with_a_client_certificate(secured: Secured, run: Run):
    settings = Settings(redis_url=secured.url(secured.certificates.options), heartbeat_ms=100)
    run("aggregator", environ=pipeline.environ(settings))
    url = pipeline.ingest(run, settings)
    assert request(url, "POST", "/record", {"device": "a", "speed": 1}, {})[0] == 200
    wait_until(lambda: pipeline.drained(settings), "the reading to be applied")
    assert run("status", "--redis-url", settings.redis_url).end() == 0


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("ssl_certfile=/nowhere.pem", "ssl_certfile='/nowhere.pem' cannot be read"),
        ("ssl_ca_certs={own}/own.key", "OpenSSL rejected ssl_ca_certs='.*own.key'"),
        ("ssl_keyfile={own}/own.key", "ssl_keyfile without ssl_certfile"),
        ("ssl_certfile={own}/own.pem&ssl_keyfile={own}/ca.key", "OpenSSL rejected ssl_certfile="),
        ("ssl_validate_ocsp=1", "ssl_validate_ocsp is unsupported"),
        ("ssl_min_version=7", "OpenSSL rejected an ssl_ option"),
        ("nonsense=1&password=s3cret", "unknown option: 'nonsense'"),
    ],
)
@pytest.mark.parametrize("ping", paths(), ids=["lane", "redis-py"])
def test_options_that_cannot_be_used_are_misconfigured(
    secured: Secured, ping: Callable[[str], object], options: str, problem: str
):
    url = secured.url(options.format(own=secured.certificates.folder))
    with pytest.raises(Misconfigured, match=problem) as raised:
        ping(url)
    assert "s3cret" not in str(raised.value)


def test_a_server_with_an_unknown_certificate_is_rejected(secured: Secured, tmp_path: Path):
    others = Certificates(tmp_path / "others")
    url = secured.url(others.options)

    async def rejected() -> str:
        with pytest.raises(ConnectionGone) as raised:
            await Pipe.open(url)
        return str(raised.value)

    assert re.search("certificate verify failed", asyncio.run(rejected()))
    with pytest.raises(TributaryError, match="certificate verify failed"):
        _ping_with_redis_py(url)
