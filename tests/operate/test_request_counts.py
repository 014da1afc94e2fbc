"""Accepted and refused requests are counted by door; the log has samples, and never a token."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Iterator
from http.client import HTTPConnection

import pytest
import redis
from loguru import logger
from support.waiting import wait_until
from support.webs import Web

from tributary.auth import refusals, tokens
from tributary.auth.refusals import Refusal, Refusals
from tributary.auth.tokens import Token
from tributary.settings import Settings
from tributary.store import counts, keys

SECRETS = ("trb_not-a-token", "s3cret-in-a-path")


@pytest.fixture(params=[True, False], ids=["lane", "flask"])
def web(
    request: pytest.FixtureRequest, change: Callable[..., Settings], client: redis.Redis
) -> Iterator[Web]:
    running = Web(change(lane=request.param, body_max_bytes=4_096))
    yield running
    running.close()


def create(client: redis.Redis, id_: str, **fields: object) -> str:
    values = {"device": "*", "scopes": ("record",), "expires_at_ms": None, **fields}
    return tokens.create(client, Token(id_, "", created_at_ms=0, **values))  # type: ignore[arg-type]


def pipelined(web: Web, body: bytes, number: int, secret: str) -> list[int]:
    """The status of requests that are sent together."""
    head = f"POST /record HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {secret}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    connection = HTTPConnection("127.0.0.1", web.port)
    connection.connect()
    connection.sock.sendall((head.encode() + body) * number)
    reader = connection.sock.makefile("rb")
    found = []
    for _ in range(number):
        found.append(int(reader.readline().split()[1]))
        length = 0
        while line := reader.readline().strip():
            length = int(line[16:]) if line.lower().startswith(b"content-length:") else length
        reader.read(length)
    connection.close()
    return found


def test_requests_are_counted_by_door(web: Web, client: redis.Redis):
    good = create(client, "good")
    reader = create(client, "reader", scopes=("collect",))
    van = create(client, "van", device="van-*")
    late = create(client, "late", expires_at_ms=1)
    wait_until(lambda: web.get("/collect").status == 401, "the tokens to be loaded", 5)
    body = {"device": "car-7", "a": 1}
    for secret in ("", late, SECRETS[0]):
        assert web.record(body, secret).status == 401
    assert web.record(body, reader).status == 403
    assert web.record(body, van).status == 403
    assert web.record({"device": "car-7", "a": "x"}, good).status == 422
    assert web.record(b"{}" * 4_000, good).status == 413
    assert web.record(b"a", good, **{"Content-Type": "text/csv"}).status == 415
    assert web.ask("POST", "/api/v2/write", b"m a=1", "", Authorization="Token x").status == 401
    assert web.ask("POST", f"/api/v1/{SECRETS[1]}/telemetry", {"a": 1}).status == 401
    assert web.get("/collect", good).status == 403
    assert web.get(f"/{SECRETS[1]}/nothing").status == 404
    basic = base64.b64encode(f"x:{SECRETS[0]}".encode()).decode()
    assert web.ask("POST", "/record", body, Authorization=f"Basic {basic}").status == 401
    expected = {
        Refusal("401", "unauthorized", "record"): 4,
        Refusal("403", "wrong_scope", "record"): 1,
        Refusal("403", "wrong_device", "record"): 1,
        Refusal("422", "not_a_number", "record"): 1,
        Refusal("413", "body_too_large", "record"): 1,
        Refusal("415", "unknown_content_type", "record"): 1,
        Refusal("401", "unauthorized", "influx_v2"): 1,
        Refusal("401", "unauthorized", "thingsboard"): 1,
        Refusal("403", "wrong_scope", "api"): 1,
        Refusal("404", "not_found", "http"): 1,
    }

    def counted() -> dict[Refusal, int]:
        found = refusals.totals(client)
        found.pop(Refusal("401", "unauthorized", "api"), None)  # the probe
        return found

    wait_until(lambda: sum(counted().values()) >= sum(expected.values()), "the counts", 5)
    assert counted() == expected
    text = web.process.text
    assert "requests rejected" in text
    assert not [secret for secret in (*SECRETS, basic, good, reader, late) if secret in text]


def test_requests_that_share_a_frame_are_counted_each(web: Web, client: redis.Redis):
    secret = create(client, "good")
    body = b'{"device":"car-7","a":1}'
    wait_until(lambda: web.record({"a": 1}, secret).status == 200, "the token to be loaded", 5)
    accepted = lambda: counts.totals(client, keys.REQUESTS)  # noqa: E731
    number = 20 if web.settings.lane else 1  # gunicorn's threads have one request per connection
    assert set(pipelined(web, body, number, secret)) == {200}
    assert web.record([{"a": 1}, {"a": 2}], secret).status == 200
    assert web.get(f"/update?api_key={secret}&field1=5").status == 200
    wait_until(lambda: accepted() == {"record": number + 2, "thingspeak": 1}, "the counts", 5)
    # The numbers of the stream as if its readings were not read: the backlog is full.
    for partition in range(web.settings.partitions):
        client.hset(keys.meta(partition), mapping={"entries": 10**9, "accepted": 10**9})
    assert set(pipelined(web, body, number, secret)) == {503}
    full = Refusal("503", "backlog_full", "record")
    wait_until(lambda: refusals.totals(client).get(full) == number, "the rejections", 5)
    assert accepted() == {"record": number + 2, "thingspeak": 1}


def test_the_log_is_bounded_and_has_an_example(client: redis.Redis):
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), format="{message} {extra}")
    try:
        noted = Refusals()
        for number in itertools.chain(range(1_000), range(1_000)):
            noted.note(403, "wrong_scope", "record", f"token t{number} lacks the scope record")
            noted.note(422, "unknown_unit", "record", "the value of a client")
            noted.note(404, "not_found", "http", "/a/path")
            noted.note(503, "unavailable", "record", "Redis is unavailable")
            noted.flush(client)
    finally:
        logger.remove(sink)
    (line,) = lines
    assert "'wrong_scope': 1" in line
    assert "403 at record: token t0 lacks the scope record" in line
    assert "client" not in line
    assert "not_found" not in line
    assert refusals.totals(client)[Refusal("403", "wrong_scope", "record")] == 2_000


def test_counts_of_earlier_releases_are_kept(client: redis.Redis):
    client.hset(keys.REFUSALS, mapping={"unauthorized": 3, "401 unauthorized record": 4})
    assert refusals.totals(client) == {
        Refusal("", "unauthorized", ""): 3,
        Refusal("401", "unauthorized", "record"): 4,
    }
