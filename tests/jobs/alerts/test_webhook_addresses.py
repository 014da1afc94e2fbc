"""Webhooks go to public addresses only, unless another is listed; once, and without redirects."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from support.hook_receiver import Receiver

from jobs.alerts import webhook
from jobs.alerts.webhook import GivenUp, NotSent
from tributary.model import alert_target
from tributary.model.alert_target import Allowed

NOBODY = Allowed(frozenset(), ())
LOCAL = alert_target.allowed("127.0.0.1")


def post(url: str, allowed: Allowed = NOBODY, timeout_s: float = 5.0) -> None:
    (hook,) = alert_target.hooks(url)
    asyncio.run(webhook.post(hook, {"webhook-id": "msg_1"}, b"{}", allowed, timeout_s))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.close()


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0", "localhost", "10.1.2.3", "172.16.0.1",
     "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1",
     "240.0.0.1", "255.255.255.255", "[::1]", "[::]", "[fe80::1]", "[fd00::1]", "[fec0::1]",
     "[::ffff:127.0.0.1]", "[::ffff:169.254.169.254]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
     "[2001:0:7f00:1::]", "[ff02::1]", "[2001:db8::1]"],
)  # fmt: skip
def test_addresses_that_are_not_public_are_refused(host: str):
    with pytest.raises(NotSent, match="is not a public address; list it in alert_webhook_allow"):
        post(f"https://{host}:9/")


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_accepted(text: str):
    assert webhook.is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("found", [["8.8.8.8", "10.0.0.1"], ["10.0.0.1", "8.8.8.8"]])
def test_a_name_with_one_private_address_is_refused_and_looked_up_once(
    monkeypatch: pytest.MonkeyPatch, found: list[str]
):
    lookups: list[str] = []

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        lookups.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(NotSent, match=r"10\.0\.0\.1 is not a public address"):
        post("https://rebinding.example/")
    assert lookups == ["rebinding.example"]


def test_the_connection_goes_to_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
):
    """The second lookup of a name server that changes its mind is never made."""
    port = int(receiver.url.split(":")[2].split("/")[0])
    lookups = 0
    original = socket.getaddrinfo

    def look_up(host: str, *arguments: Any, **named: Any) -> list[Any]:
        nonlocal lookups
        if host != "hooks.example":
            return list(original(host, *arguments, **named))
        lookups += 1
        address = ("127.0.0.1" if lookups == 1 else "127.0.0.2", port)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    post(f"http://hooks.example:{port}/", LOCAL)
    assert lookups == 1
    assert receiver.hooks[0].headers["host"] == f"hooks.example:{port}"


def test_http_is_only_for_listed_hosts(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(NotSent, match="http is only for hosts in alert_webhook_allow"):
        post("http://8.8.8.8:9/")


def test_a_listed_address_gets_the_body(receiver: Receiver):
    post(receiver.url, LOCAL)
    post(receiver.url, alert_target.allowed("127.0.0.0/8"))
    assert [hook.body for hook in receiver.hooks] == [b"{}"] * 2
    assert receiver.hooks[0].headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("status", "error"),
    [(301, NotSent), (307, NotSent), (404, NotSent), (429, NotSent), (500, NotSent),
     (400, GivenUp), (410, GivenUp), (413, GivenUp), (422, GivenUp)],
)  # fmt: skip
def test_other_statuses_are_failures_and_redirects_are_not_followed(
    receiver: Receiver, status: int, error: type[NotSent]
):
    receiver.status = lambda _: status
    with pytest.raises(NotSent, match=f"the receiver responded with {status}") as caught:
        post(receiver.url, LOCAL)
    assert type(caught.value) is error
    assert len(receiver.hooks) == 1


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (b"", "no response within|IncompleteRead"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000, "LimitOverrun"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not a response of HTTP"),
        (b"HTTP/1.1 2xx OK\r\n\r\n", "not a response of HTTP"),
    ],
)
def test_a_hostile_response_costs_no_more_than_the_limits(response: bytes, problem: str):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        async def respond() -> None:
            hook = alert_target.hooks(f"http://127.0.0.1:{port}/")[0]
            sending = asyncio.create_task(webhook.post(hook, {}, b"{}", LOCAL, 0.3))
            listener.setblocking(False)
            loop = asyncio.get_running_loop()
            connection, _ = await loop.sock_accept(listener)
            with connection:
                await loop.sock_sendall(connection, response)
                await sending

        with pytest.raises(NotSent, match=problem):
            asyncio.run(respond())


def test_interim_responses_are_skipped():
    assert webhook._status(b"HTTP/1.1 103 Early Hints\r\n\r\n") in webhook._INTERIM
    assert webhook._status(b"HTTP/1.1 204 No Content\r\n\r\n") == 204
