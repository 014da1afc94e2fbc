"""Both front ends serve any door in the list: here one that has nothing in common with `/record`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
import redis
from support import station_door
from support.processes import Server
from support.waiting import wait_until
from support.webs import Web

from tributary.auth import tokens
from tributary.auth.tokens import Token
from tributary.settings import Settings

Accepted = Callable[[], int]


class Text(NamedTuple):
    status: int
    body: str
    headers: dict[str, str]


def send(web: Web, path: str, body: str | None = None, method: str = "", **headers: str) -> Text:
    method = method or ("GET" if body is None else "POST")
    content = None if body is None else body.encode()
    reply = web.ask(method, f"/stations/{path}", content, **headers)
    return Text(reply.status, reply.content.decode(), reply.headers)


@pytest.fixture(scope="module", params=[True, False], ids=["lane", "flask"])
def web(web_server: Server, request: pytest.FixtureRequest) -> Iterator[Web]:
    found = station_door.start(
        Settings(redis_url=web_server.url, lane=request.param, rate_per_device=8.0)
    )
    yield found
    found.close()


def test_reads_the_path_and_responds_in_its_own_words(web: Web, accepted: Accepted):
    before = accepted()
    reply = send(web, "-/garden", ";temperature=21.5;humidity=40")
    assert reply[:2] == (201, "stored 1")
    assert reply.headers["content-type"] == "text/plain"
    assert reply.headers["x-stored"] == "yes"
    assert accepted() == before + 1


@pytest.mark.parametrize("query", ["temperature=21.5", "temperature=21.5&humidity=%34"])
def test_reads_a_query_string(web: Web, accepted: Accepted, query: str):
    """The second is not one that the lane serves: Flask does."""
    before = accepted()
    assert send(web, f"-/garden?{query}")[:2] == (201, "stored 1")
    assert accepted() == before + 1


def test_a_parameter_may_be_encoded(web: Web):
    assert send(web, "-/gard%65n", ";temperature=1").status == 201
    assert send(web, "-/gard%20en", ";temperature=1")[:2] == (422, "sorry: invalid_device")


def test_stores_the_good_part_and_reports_an_error(web: Web, accepted: Accepted):
    before = accepted()
    assert send(web, "-/garden", ";temperature=21.5;fan=on")[:2] == (400, "stored 1, not fan")
    assert accepted() == before + 1


def test_stores_nothing_without_readings(web: Web, accepted: Accepted):
    before = accepted()
    reply = send(web, "-/garden", "9")
    assert reply[:2] == (204, "")
    assert not {"content-length", "content-type"} & reply.headers.keys()
    assert send(web, "-/garden", "9;fan=on")[:2] == (400, "stored 0, not fan")
    assert accepted() == before


def test_finds_the_idempotency_key_in_the_body(web: Web, accepted: Accepted):
    before = accepted()
    number = f"{web.port}-7"
    assert send(web, "-/garden", f"{number};temperature=21.5").body == "stored 1"
    assert send(web, "-/garden", f"{number};temperature=21.5")[:2] == (208, "again: stored 1")
    assert send(web, "-/garden", f"{number};temperature=22")[:2] == (422, "sorry: key_reused")
    assert send(web, "-/cellar", f"{number};temperature=22").body == "stored 1"
    assert accepted() == before + 2


def test_rates_and_limits_apply(web: Web):
    bodies = [
        send(web, "-/busy", ";temperature=1") for _ in range(250)
    ]  # at less than 8 a second none would be
    limited = [reply for reply in bodies if reply.status == 429]
    assert limited
    assert limited[0].body == "sorry: too_many_requests"
    assert limited[0].headers["retry-after"] == "1"


@pytest.mark.parametrize("method", ["PUT", "HEAD"])
def test_serves_no_other_method(web: Web, method: str, accepted: Accepted):
    before = accepted()
    assert send(web, "-/garden?temperature=1", method=method).status == 405
    assert accepted() == before


def test_finds_the_token_in_the_path(web: Web, web_client: redis.Redis, accepted: Accepted):
    """Requests with equal header fields have different tokens: none may be cached for another."""
    garden, cellar = (
        tokens.create(web_client, Token(name, "", name, ("record",), 0))
        for name in ("garden", "cellar")
    )
    try:
        wait_until(lambda: send(web, "-/garden", "").status == 499, "tokens to be required")
        before = accepted()
        for _ in range(3):
            assert send(web, f"{garden}/garden", ";temperature=1").status == 201
            assert send(web, f"{cellar}/garden", ";temperature=1")[:2] == (
                403,
                "sorry: wrong_device",
            )
            assert send(web, "wrong/garden", ";temperature=1")[:2] == (499, "sorry: unauthorized")
            assert send(web, f"{cellar}/cellar?temperature=1").status == 201
            in_header = {"Authorization": f"Bearer {garden}"}
            assert send(web, "wrong/garden", ";temperature=1", **in_header).status == 499
        assert accepted() == before + 6
    finally:
        tokens.revoke(web_client, "garden")
        tokens.revoke(web_client, "cellar")
        wait_until(lambda: send(web, "-/garden", "").status == 204, "tokens to be gone")


def test_a_bug_in_a_door_affects_only_its_request(web: Web, accepted: Accepted):
    before = accepted()
    assert web.ask("POST", "/stations/-/garden", b"\xff").status == 500  # not UTF-8
    assert send(web, "-/garden", ";temperature=21.5").status == 201
    assert accepted() == before + 1
