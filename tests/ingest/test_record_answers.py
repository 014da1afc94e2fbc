"""What `/record` responds to on both front ends: forms, query strings, tokens, other doors."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis
from support.waiting import wait_until
from support.webs import Web

from tributary.auth import tokens
from tributary.auth.tokens import Token

Accepted = Callable[[], int]
FORM = {"Content_Type": "application/x-www-form-urlencoded"}
LINE = b"weather,location=cellar temperature=12.5 1795621074000000000\n"


@pytest.mark.parametrize(
    ("body", "headers", "response"),
    [
        (b"device=esp32&temperature=23.5&humidity=40", FORM, {"success": True}),
        (b' {"device":"esp32","temperature":"23.5"}', FORM, {"success": True}),
        (b'{"a":1}', {"Content_Type": "text/html"}, {"success": True}),
        (b'{"a":1,"b":nan,"c":"ok"}', {}, {"success": True, "ignored": ["b", "c"]}),
        ([{"a": 1, "b": None}], {}, {"success": True, "accepted": 1, "ignored": ["b"]}),
        (b'{"a":[1,2],"u":"C"}', {}, {"success": True, "accepted": 2, "ignored": ["u"]}),
    ],
)
def test_records(
    web: Web, accepted: Accepted, body: object, headers: dict[str, str], response: object
):
    before = accepted()
    reply = web.record(body, **headers)
    assert (reply.status, reply.json) == (200, response)
    assert accepted() == before + (2 if body == b'{"a":[1,2],"u":"C"}' else 1)


def test_lists_what_was_ignored_and_what_was_rejected(web: Web):
    reply = web.record([{"a": 1, "b": "x"}, {"c": None}], query="?on_error=skip")
    assert (reply.json["accepted"], reply.json["ignored"]) == (1, ["b"])
    assert [bad["field"] for bad in reply.json["rejected"]] == ["c"]
    assert web.record(b"a=x", query="?on_error=skip", **FORM).json["accepted"] == 0


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("device=shelly-1&temperature=21.5", 200, ""),
        ("temperature=21.5&status=ok&ts=1763805600", 200, ""),
        ("device=Living%20Room&temperature=21.5", 422, "invalid_device"),
        ("device=a&temperature=n/a", 422, "not_a_number"),
        ("device=a", 422, "no_metrics"),
        ("a=1&a=2", 400, "duplicate_name"),
        ("PASSKEY=A&tempf=79.3", 422, "other_door"),
        ("", 405, "method_not_allowed"),
        ("token=x", 405, "method_not_allowed"),
    ],
)
def test_records_a_query_string(web: Web, accepted: Accepted, query: str, status: int, code: str):
    before = accepted()
    reply = web.get(f"/record?{query}")
    assert reply.status == status, reply.json
    assert accepted() == before + (status == 200)
    assert reply.json["success"] if status == 200 else reply.code == code


def test_a_key_of_a_query_string_is_for_one_reading(web: Web, accepted: Accepted):
    before, key = accepted(), f"webhook-{web.port}"
    replies = [web.get(f"/record?a={n}", Idempotency_Key=key) for n in (1, 1, 2)]
    assert [reply.status for reply in replies] == [200, 200, 422]
    assert replies[1].json == {"success": True, "duplicate": True}
    assert replies[2].code == "key_reused"
    assert accepted() == before + 1


@pytest.mark.parametrize(
    "headers",
    [{"Sec_Fetch_Site": "cross-site"}, {"Origin": "http://evil.example"}, {"Origin": "null"}],
)
def test_a_page_of_another_site_cannot_record(
    web: Web, accepted: Accepted, headers: dict[str, str]
):
    before = accepted()
    for reply in (
        web.get("/record?a=1", **headers),
        web.record(b"a=1", **FORM, **headers),
        web.record(b"a=1", query="?token=x", **FORM, **headers),
    ):
        assert (reply.status, reply.code) == (403, "cross_site")
    assert accepted() == before
    assert web.get("/record?a=1", Sec_Fetch_Site="same-origin").status == 200


@pytest.mark.parametrize(
    ("body", "headers", "door"),
    [
        ({"ts": 1795621074000, "values": {"temp": 20.4}}, {}, "/record/thingsboard"),
        ({"end_device_ids": {"device_id": "eui-01"}}, {}, "/record/ttn"),
        (LINE, FORM, "/write"),
        (LINE, {"Content_Type": "text/plain; charset=utf-8"}, "/write"),
    ],
)
def test_names_another_door(web: Web, body: object, headers: dict[str, str], door: str):
    reply = web.record(body, **headers)
    assert (reply.status, reply.code) == (422, "other_door")
    assert door in reply.json["error"]["message"]


def test_a_device_in_the_query_string_of_a_post_is_rejected(web: Web):
    reply = web.record({"a": 1}, query="?device=car-7")
    assert (reply.status, reply.code) == (400, "unknown_parameter")
    assert web.record({"a": 1}, query="?x=1").status == 200


@pytest.fixture(scope="module", params=["lane", "flask"])
def closed_web(
    start_web: Callable[..., Web], web_client: redis.Redis, request: pytest.FixtureRequest
) -> Iterator[tuple[Web, str]]:
    """A process that requires a token, and one for the devices of the garden."""
    web = start_web(lane=request.param == "lane")
    secret = tokens.create(web_client, Token(f"g-{request.param}", "", "garden/*", ("record",), 0))
    wait_until(lambda: web.record({"a": 1}).status == 401, "tokens to be required")
    yield web, secret
    tokens.revoke(web_client, f"g-{request.param}")


def test_takes_a_token_from_the_query_string_and_logs_it_nowhere(closed_web: tuple[Web, str]):
    web, secret = closed_web
    target = f"/record?device=garden/1&temperature=1&token={secret}"
    assert web.get(target).status == 200
    assert web.record({"device": "garden/1", "a": 1}, query=f"?token={secret}").status == 200
    assert web.get(target, Authorization="Bearer wrong").status == 401
    assert web.get(target.replace("garden/1", "cellar")).code == "wrong_device"
    assert web.get(target + "x").status == web.get("/record?device=garden/1&a=1").status == 401
    assert web.get(f"/record?device=garden%2F1&temperature=x&token={secret}").status == 422
    assert secret not in web.process.text
