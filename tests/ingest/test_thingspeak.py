"""Updates of ThingSpeak channels."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from support.door_requests import NOW_MS, parse, readings, status_of
from support.waiting import wait_until
from support.webs import Web

from ingest.doors.thingspeak import ThingSpeakDoor
from tributary.auth import tokens
from tributary.auth.tokens import Token
from tributary.errors import Refused

DOOR = ThingSpeakDoor()
TIME_MS = 1_764_084_121_000  # 2025-11-25T15:22:01Z
# The fields of its documentation.
UPDATE = {
    "api_key": "XXXXXXXXXXXXXXXX", "field1": "21.5", "field8": "-3e-2", "field9": "1", "lat": "51.5",
    "long": "-0.12", "elevation": "35", "status": "door open", "twitter": "me", "tweet": "hello",
    "created_at": "2025-11-25T15:22:01Z",
}  # fmt: skip
METRICS = {"field1": 21.5, "field8": -0.03, "lat": 51.5, "lon": -0.12, "altitude": 35}


def form(fields: dict[str, str]) -> str:
    return "&".join(f"{name}={value}" for name, value in fields.items()).replace(" ", "+")


def test_an_update_as_query_form_or_json():
    for batch in (
        parse(DOOR, b"", form(UPDATE)),
        parse(DOOR, form(UPDATE).encode()),
        parse(DOOR, {**UPDATE, "field1": 21.5, "tweet": None}),
    ):
        assert readings(batch) == [("default", TIME_MS, METRICS)]
        assert DOOR.ok(batch)[:3] == (b"1", 200, "text/plain; charset=utf-8")


@pytest.mark.parametrize(
    ("created_at", "time_ms"),
    [
        ("2025-11-25T15:22:01.250Z", TIME_MS + 250),
        ("2025-11-25T16:22:01%2B01:00", TIME_MS),
        ("2025-11-25T16:22:01+01:00", TIME_MS),
        ("2025-11-25+10:22:01+-0500", TIME_MS),
        ("2025-11-25 15:22:01 UTC", TIME_MS),
        ("", NOW_MS),
    ],
)
def test_times_have_a_zone(created_at: str, time_ms: int):
    query = f"device=a&field1=1&created_at={created_at}".replace(" ", "%20")
    assert readings(parse(DOOR, b"", query)) == [("a", time_ms, {"field1": 1})]


@pytest.mark.parametrize(
    ("body", "query", "refusal"),
    [
        (b"", "", (422, "no_metrics", None)),
        (b"", "field1=x&status=on", (422, "no_metrics", None)),
        (b"", "device=a+b&field1=1", (422, "invalid_device", "device")),
        (b"", "field1=1&lat=1&latitude=2", (422, "ambiguous_field", "latitude")),
        (b"", "field1=1&created_at=2025-11-25T15:22:01", (422, "invalid_time", "created_at")),
        ({"field1": 1, "created_at": True}, "", (422, "invalid_time", "created_at")),
        ({"field1": 1, "device": {}}, "", (422, "invalid_device", "device")),
        ({"field1": 10**400}, "", (422, "out_of_range", "field1")),
        (b"{", "", (400, "not_json", None)),
        ([1], "", (400, "wrong_shape", None)),
        (b"hello", "", (400, "not_a_form", None)),
        (b"field1=1", "field1=2", (400, "duplicate_name", "field1")),
    ],
)
def test_errors(body: Any, query: str, refusal: Any):
    with pytest.raises(Refused) as caught:
        parse(DOOR, body, query)
    assert (caught.value.status, caught.value.code, caught.value.field) == refusal


_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
_updates = st.dictionaries(st.sampled_from([*UPDATE, "device", "x"]), _values | st.lists(_values))


@given(st.binary() | _updates.map(lambda item: json.dumps(item).encode()), st.text(max_size=9))
def test_any_request_is_stored_or_rejected(body: bytes, query: str):
    assert 200 <= status_of(DOOR, body, query) < 500


def test_a_retry_with_a_key_has_the_same_response(web: Web, accepted: Callable[[], int]):
    before, key = accepted(), {"Idempotency-Key": f"thingspeak-{web.port}"}
    for _ in range(2):
        reply = web.get("/update?field1=1", **key)
        assert (reply.status, reply.content) == (200, b"1")
        assert reply.headers["content-type"].startswith("text/plain")
    assert web.get("/update?field1=2", **key).code == "key_reused"
    assert accepted() == before + 1


def test_the_key_is_the_token_of_one_device(
    web: Web, web_client: redis.Redis, accepted: Callable[[], int]
):
    one, several = (
        tokens.create(web_client, Token(device, "", device, ("record",), 0))
        for device in ("greenhouse", "house/*")
    )
    try:
        wait_until(lambda: web.get("/update?field1=1").status == 401, "tokens to be required")
        last = f"/update?api_key={several}&field1=8&device=house/cellar"
        wait_until(lambda: web.get(last).status == 200, "the second token to be known")
        before = accepted()
        key = f"api_key={one}"
        replies = [
            web.get(f"/update?{key}&field1=1"),
            web.get(f"/update?{key}&field1=1&device=greenhouse"),
            web.ask("POST", "/update", f"{key}&field1=2".encode()),
            web.ask("POST", "/update", {"api_key": one, "field1": 3}),
            web.ask("POST", "/update", b"field1=4", **{"X-THINGSPEAKAPIKEY": one}),
            web.ask("POST", "/update", b"field1=5", THINGSPEAKAPIKEY=one),
            web.ask("POST", f"/update?token={one}", b"field1=6"),
            web.ask("POST", "/update", b"field1=7", one),
            web.get(last),
        ]
        assert {(reply.status, reply.content) for reply in replies} == {(200, b"1")}
        assert accepted() == before + len(replies)
        for path in (f"{key}&device=house/cellar", f"api_key={several}"):
            assert web.get(f"/update?{path}&field1=1").code == "wrong_device"
        for body in ({"api_key": "wrong", "field1": 1}, {"api_key": 7, "field1": 1}, b"field1=1"):
            assert web.ask("POST", "/update", body).status == 401
        assert one not in web.process.text
    finally:
        for name in ("greenhouse", "house/*"):
            tokens.revoke(web_client, name)
        wait_until(lambda: web.get("/update?field1=1").status == 200, "no tokens")
