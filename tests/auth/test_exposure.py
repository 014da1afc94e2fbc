"""Safe defaults: other machines need a token, and secrets are not logged."""

from __future__ import annotations

import base64
import re
import socket
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

import pytest
from support.pipeline import environ
from support.processes import Process, Server
from support.waiting import wait_until
from support.webs import Web

from tributary.auth import tokens
from tributary.auth.tokens import SCOPES, Token
from tributary.settings import Settings

Run = Callable[..., Process]
OUTSIDE = "0.0.0.0"
_SERVING = re.compile(r"at=http://\S+?:(\d+)")
_READY = re.compile(r"ready on http://\S+?:(\d+)")


def start(run: Run, role: str, server: Server, *arguments: str) -> Process:
    return run(
        role, "--port", "0", "--host", OUTSIDE, "--redis-url", server.url, *arguments
    )  # fmt: skip


def serving(role: str, process: Process, settings: Settings) -> Web:
    port = int(process.wait_for(_READY if role == "up" else _SERVING)[1])
    return Web(settings, process, port)


@pytest.mark.parametrize("role", ["up", "ingest", "api"])
@pytest.mark.parametrize("lane", ["--lane", "--no-lane"])
def test_a_role_does_not_listen_on_other_addresses_without_tokens(
    run: Run, server: Server, role: str, lane: str
):
    process = start(run, role, server, lane)
    assert process.end() == 2, process.text
    (line,) = process.text.strip().splitlines()
    assert OUTSIDE in line
    assert "tributary token create" in line
    assert "--open" in line


@pytest.mark.parametrize("role", ["up", "ingest", "api"])
def test_a_role_with_tokens_starts_and_requires_one(
    run: Run, server: Server, settings: Settings, role: str
):
    secret = tokens.create(server.client, Token("a", "", "*", SCOPES, 0))
    process = start(run, role, server)
    web = serving(role, process, settings)
    path = "/record" if role == "ingest" else "/collect"
    assert web.ask("POST", path, b'{"a":1}').status == 401
    assert web.ask("POST", path, b'{"a":1}', secret).status == 200
    assert process.stop() == 0


@pytest.mark.parametrize("role", ["up", "ingest", "api"])
def test_open_starts_without_requiring_a_token(
    run: Run, server: Server, settings: Settings, role: str
):
    for name in "ab":
        tokens.create(server.client, Token(name, "", "*", SCOPES, 0))
    process = start(run, role, server, "--open")
    web = serving(role, process, settings)
    path = "/record" if role == "ingest" else "/collect"
    assert web.ask("POST", path, b'{"a":1}').status == 200
    process.wait_for(re.compile("ignored_tokens=2"))
    assert process.stop() == 0


def with_password(url: str, password: str) -> str:
    parts = urlsplit(url)
    address = f"{parts.hostname}:{parts.port}" if parts.hostname else ""
    return urlunsplit(parts._replace(netloc=f"app:{password}@{address}"))


def provoke(web: Web, secret: str) -> None:
    """Send whatever could make a process log data of a client."""
    basic = base64.b64encode(f"user:{secret}".encode()).decode()
    for authorization in (f"Bearer {secret}", f"Token {secret}", f"Basic {basic}", secret):
        for path in ("/record", "/collect", "/nowhere", f"/{secret}", f"/collect?token={secret}"):
            web.ask("POST", path, b'{"a":1}', Authorization=authorization)
            web.ask("GET", path, None, Authorization=authorization)
    head = f"POST /record HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {secret}\r\n"
    for rest in (
        "Content-Length: x\r\n\r\n",
        "A B: c\r\n\r\n",
        f"X_{secret}: 1\r\n\r\n",
        f"{secret}\r\n\r\n",
        f"Authorization: Bearer {secret}\r\n\r\n",
        f"Transfer-Encoding: chunked\r\n\r\n{secret}\r\n",
        f"Content-Length: 100\r\n\r\n{secret}",
        f"X: {secret}\r\n",
        f"Expect: {secret}\r\n\r\n",
        f"Transfer-Encoding: {secret}\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", web.port), 10) as raw:
            raw.sendall((head + rest).encode())
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(65536):
                continue


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "flask"])
def test_secrets_are_never_logged(own_server: Callable[..., Server], *, lane: bool):
    server, password = own_server(), "pass-9f8e7d"
    server.client.acl_setuser(
        "app", enabled=True, passwords=[f"+{password}"], categories=["+@all"], keys=["*"]
    )
    url = with_password(server.url, password)
    settings = Settings(redis_url=url, lane=lane, log_level="DEBUG", redis_timeout_ms=300)
    web = Web(settings)
    secret = tokens.create(server.client, Token("a", "", "*", SCOPES, 0))
    wait_until(lambda: web.get("/collect").status == 401, "tokens to be required")
    assert web.record({"a": 1}, secret).status == 200
    provoke(web, secret)
    server.process.kill()
    wait_until(lambda: web.record({"a": 1}, secret).status == 503, "the outage")
    provoke(web, secret)
    web.process.wait_for(re.compile("outage began"))
    web.process.stop()
    log = web.process.text
    basic = base64.b64encode(f"user:{secret}".encode()).decode()
    for hidden in (secret, basic, password, tokens.digest_of(secret)):
        assert hidden not in log, [line for line in log.splitlines() if hidden in line][:3]


def test_a_wrong_password_is_not_printed(run: Run, server: Server):
    settings = Settings(redis_url=with_password(server.url, "pass-0a1b2c"), port=0)
    roles = ("ingest", "api", "aggregator", "up")
    for process in [run(role, environ=environ(settings)) for role in roles]:
        assert process.end() == 2, process.text
        assert "pass-0a1b2c" not in process.text
        assert "redis_url" in process.text
