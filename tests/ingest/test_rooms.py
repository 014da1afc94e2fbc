"""The door for temperatures of rooms."""

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

from ingest.doors.rooms import RoomsDoor
from tributary.auth import tokens
from tributary.auth.tokens import Token
from tributary.errors import Refused
from tributary.model import reading

DOOR = RoomsDoor()
PATH = "/api/v1/buildings/{}/rooms/{}/temperatures"
ROOM = {"building": "north", "room": "101"}


@pytest.mark.parametrize(
    ("sent", "time"),
    [
        ("2024-12-10T16:45:00", "2024-12-10T16:45:00.000Z"),
        ("2024-12-10T16:45", "2024-12-10T16:45:00.000Z"),
        ("2024-12-10 16:45:00", "2024-12-10T16:45:00.000Z"),
        ("2024-12-10T16:45:00.123456", "2024-12-10T16:45:00.123Z"),
        ("2024-12-10T16:45:00Z", "2024-12-10T16:45:00.000Z"),
        ("2024-12-10T17:45:00+01:00", "2024-12-10T16:45:00.000Z"),
        (1733849100, "2024-12-10T16:45:00.000Z"),
        (1733849100000, "2024-12-10T16:45:00.000Z"),
        (None, reading.rfc3339(NOW_MS)),
    ],
)
def test_a_time_without_a_zone_is_utc(sent: Any, time: str):
    batch = parse(DOOR, {"temperature": 10.5, "recorded_at": sent}, **ROOM)
    [(device, time_ms, metrics)] = readings(batch)
    assert (device, reading.rfc3339(time_ms), metrics) == ("north/101", time, {"temperature": 10.5})


def test_the_time_may_have_another_name():
    [found] = readings(parse(DOOR, {"temperature": 1, "timestamp": "2024-12-10T16:45:00"}, **ROOM))
    assert reading.rfc3339(found.time_ms) == "2024-12-10T16:45:00.000Z"


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ({"temperature": 21}, 21.0),
        ({"temperature": "21.5"}, 21.5),
        ({"temperature": True}, 1.0),
        ({"temperature": 21, "humidity": 40, "note": "x"}, 21.0),
    ],
)
def test_only_the_temperature_is_stored(sent: Any, stored: float):
    batch = parse(DOOR, sent, **ROOM)
    assert [*batch.ignored] == [name for name in sent if name != "temperature"]
    [(_, time_ms, metrics)] = readings(batch)
    assert (time_ms, metrics) == (NOW_MS, {"temperature": stored})


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "not_json"),
        (b"temperature=21", 400, "not_json"),
        ([{"temperature": 21}], 400, "wrong_shape"),
        (21, 400, "wrong_shape"),
        ({}, 422, "no_metrics"),
        ({"temp": 21}, 422, "no_metrics"),
        ({"temperature": None}, 422, "not_a_number"),
        ({"temperature": "warm"}, 422, "not_a_number"),
        ({"temperature": {"value": 21}}, 422, "not_a_number"),
        (b'{"temperature":1e999}', 422, "out_of_range"),
        ({"temperature": 21, "recorded_at": "today"}, 422, "invalid_time"),
        ({"temperature": 21, "recorded_at": "2024-13-10T16:45:00"}, 422, "invalid_time"),
        ({"temperature": 21, "recorded_at": "2024-12-10"}, 422, "invalid_time"),
        ({"temperature": 21, "ts": 1, "time": 2}, 422, "ambiguous_field"),
        ({"temperature": 21, "recorded_at": "1999-12-31T23:59:59"}, 422, "in_past"),
        ({"temperature": 21, "recorded_at": True}, 422, "invalid_time"),
        ({"temperature": 21, "recorded_at": "2199-12-10T16:45:00"}, 422, "in_future"),
    ],
)  # fmt: skip
def test_errors(body: Any, status: int, code: str):
    with pytest.raises(Refused) as caught:
        parse(DOOR, body, **ROOM)
    assert (caught.value.status, caught.value.code) == (status, code)


@pytest.mark.parametrize(
    ("building", "room"), [("north wing", "1"), ("n", "ü"), ("n" * 64, "r" * 64), ("{n}", "1")]
)
def test_invalid_names(building: str, room: str):
    with pytest.raises(Refused) as caught:
        parse(DOOR, {"temperature": 21}, building=building, room=room)
    assert (caught.value.status, caught.value.code) == (422, "invalid_device")


@given(
    st.binary()
    | st.dictionaries(
        st.sampled_from(["temperature", "recorded_at"]),
        st.none() | st.booleans() | st.text(max_size=30) | st.floats() | st.integers(),
    ).map(lambda item: json.dumps(item).encode())
)
def test_any_body_is_stored_or_rejected(body: bytes):
    assert status_of(DOOR, body, **ROOM) in (201, 400, 422)


def test_responds_with_201(web: Web, accepted: Callable[[], int]):
    before = accepted()
    body = {"temperature": 10.5, "recorded_at": "2024-12-10T16:45:00"}
    path = PATH.format("north", "101")
    reply = web.ask("POST", path, body)
    assert (reply.status, reply.json) == (201, {"success": True})
    for duplicate in ({}, {"duplicate": True}):
        reply = web.ask("POST", path, body, Idempotency_Key=f"{web.port}")
        assert reply.json == {"success": True, **duplicate}
    assert accepted() == before + 2
    assert web.ask("POST", PATH.format("north", "a%20b"), body).code == "invalid_device"
    assert web.ask("POST", PATH.format("north", "a%2Fb"), body).status in (201, 404)
    assert web.ask("GET", path).status == 405


def test_the_token_may_be_in_the_query(web: Web, web_client: redis.Redis):
    secret = tokens.create(web_client, Token("rooms", "", "north/*", ("record",), 0))
    body, north = {"temperature": 10.5}, PATH.format("north", "101")
    try:
        wait_until(lambda: web.ask("POST", north, body).status == 401, "tokens")
        assert web.ask("POST", f"{north}?token={secret}", body).status == 201
        assert web.ask("POST", north, body, secret).status == 201
        south = PATH.format("south", "101")
        assert web.ask("POST", f"{south}?token={secret}", body).code == "wrong_device"
        assert web.ask("POST", f"{north}?token={secret}", b"{").code == "not_json"
        assert secret not in web.process.text
    finally:
        tokens.revoke(web_client, "rooms")
        wait_until(lambda: web.ask("POST", north, body).status == 201, "no tokens")
