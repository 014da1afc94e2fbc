"""`X-Request-Id`: in every response of Flask and every error of the lane, and in the JSON log."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from http.client import HTTPConnection

import pytest
import redis
from support.waiting import wait_until
from support.webs import Web

from tributary.http import request_id
from tributary.settings import Settings
from tributary.store import keys

NAME = "x-request-id"
MINE = "0af7651916cd43dd8448eb211c80319c"
_NEW = re.compile(r"[0-9a-f]{16}")


class JsonWeb(Web):
    SERVING = re.compile('"action": "serving"')


@pytest.fixture(params=[True, False], ids=["lane", "flask"])
def web(request: pytest.FixtureRequest, change: Callable[..., Settings]) -> Iterator[Web]:
    running = JsonWeb(change(lane=request.param, log_format="json"))
    yield running
    running.close()


@pytest.mark.parametrize("text", ["a b", "a\nb", "<a>", '"a"', "a;b", "é", "a" * 129, "", None])
def test_an_id_that_would_have_to_be_quoted_is_replaced(text: str | None):
    assert request_id.given(text) is None
    assert request_id.given("a" * 128) == "a" * 128


def test_responses_and_log_lines_have_the_id_of_the_request(web: Web):
    has_lane = web.settings.lane
    ok = web.record({"a": 1}, X_Request_Id=MINE)
    assert ok.status == 200
    assert ok.headers.get(NAME) == (None if has_lane else MINE)
    for reply in (
        web.get("/healthz", X_Request_Id=MINE),
        web.record({"a": "x"}, X_Request_Id=MINE),
        web.record(b"{", X_Request_Id=MINE),
        web.ask("POST", "/api/v2/write", b"no line", X_Request_Id=MINE),
        web.get("/collect?device=unknown", X_Request_Id=MINE),
        web.get("/no/path", X_Request_Id=MINE),
        web.get("/api/v1/live?devices=..%2F", X_Request_Id=MINE),
    ):
        assert reply.headers[NAME] == MINE, reply
    for reply in (
        web.get("/healthz"),
        web.record({"a": "x"}),
        web.get("/healthz", X_Request_Id="a b"),
    ):
        assert _NEW.fullmatch(reply.headers[NAME])
    assert web.get("/healthz").headers[NAME] != web.get("/healthz").headers[NAME]
    reply = web.get("/collect", Host="evil.example", X_Request_Id=MINE)
    assert (reply.status, reply.headers[NAME]) == (421, MINE)
    wait_until(lambda: "421 at api" in web.process.text, "the line in the log", 15)
    lines = [json.loads(line) for line in web.process.text.splitlines()]
    (refused,) = [line for line in lines if "example" in line]
    assert (refused["action"], refused["request_id"]) == ("refused", MINE)
    assert [line for line in lines if line["action"] == "serving" and "request_id" not in line]


def test_requests_that_fail_together_share_an_id_unless_they_sent_one(
    web: Web, client: redis.Redis
):
    body = b'{"device":"car-7","a":1}'
    own = f"X-Request-Id: {MINE}\r\n".encode()
    assert web.record(body).status == 200
    if web.settings.lane:
        assert pipelined(web, body, b"", own, b"").count(b"200 OK") == 3
    for partition in range(web.settings.partitions):
        client.hset(keys.meta(partition), mapping={"entries": 10**9, "accepted": 10**9})
    if not web.settings.lane:
        assert web.record(body, X_Request_Id=MINE).headers[NAME] == MINE
        return
    received = pipelined(web, body, b"", own, b"")
    assert received.count(b"backlog_full") == 3
    first, second, third = re.findall(r"X-Request-Id: (\S+)", received.decode())
    assert second == MINE
    assert first == third != MINE


def pipelined(web: Web, body: bytes, *fields: bytes) -> bytes:
    """The responses to requests with these header fields, sent in one write."""
    head = b"POST /record HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n%b"
    connection = HTTPConnection("127.0.0.1", web.port)
    connection.connect()
    connection.sock.sendall(b"".join(head % (len(body), each, body) for each in fields))
    received = b""
    while received.count(b'"success"') < len(fields):
        received += connection.sock.recv(65_536)
    connection.close()
    return received


def test_a_response_to_what_is_not_http_has_an_id(web: Web):
    if not web.settings.lane:
        pytest.skip("gunicorn responds without the app")
    connection = HTTPConnection("127.0.0.1", web.port)
    connection.connect()
    connection.sock.sendall(b"POST /record HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    assert b"X-Request-Id: " in connection.sock.recv(65_536)
    connection.close()
