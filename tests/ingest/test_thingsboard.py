"""The door for ThingsBoard's telemetry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from support.door_requests import NOW_MS, parse, readings
from support.waiting import wait_until
from support.webs import Web

from ingest.doors.thingsboard import ThingsBoardDoor
from tributary.auth import tokens
from tributary.auth.tokens import Token
from tributary.errors import Refused

DOOR = ThingsBoardDoor()
TS = 1_763_805_600_250
TIMED = {"ts": TS, "values": {"temp": 20.4, "hum": 78}}
STORED = (TS, {"temp": 20.4, "hum": 78.0})


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"temp": 20.4}, [(NOW_MS, {"temp": 20.4})]),
        (TIMED, [STORED]),
        ([TIMED, {"temp": 1}], [STORED, (NOW_MS, {"temp": 1.0})]),
        ({"timestamp": TS, "temp": 1}, [(TS, {"temp": 1.0})]),
        ({"ts": TS, "temp": 1}, [(TS, {"temp": 1.0})]),
        ({"values": {"temp": 1}}, [(NOW_MS, {"temp": 1.0})]),
        ({"values": 5}, [(NOW_MS, {"values": 5.0})]),
        ({"ts": None, "values": {"temp": 1}}, [(NOW_MS, {"temp": 1.0})]),
        ({"on": True, "n": "2", "s": "x", "z": None, "j": {"k": 3}},
         [(NOW_MS, {"on": 1.0, "n": 2.0, "j.k": 3.0})]),
        ({"Luft (°C)": 20}, [(NOW_MS, {"Luft_C_": 20.0})]),
    ],
)  # fmt: skip
def test_telemetry(body: Any, found: list[Any]):
    assert [(t, metrics) for _, t, metrics in readings(parse(DOOR, body, "device=a"))] == found


@pytest.mark.parametrize(
    ("body", "query", "status", "code", "index"),
    [
        ({"temp": 1}, "", 422, "missing_device", None),
        ({"temp": 1}, "device=", 422, "invalid_device", None),
        ({"temp": 1}, "device=a%20b", 422, "invalid_device", None),
        (b"", "device=a", 400, "not_json", None),
        (7, "device=a", 400, "wrong_shape", None),
        ([], "device=a", 400, "no_readings", None),
        ([TIMED, 7], "device=a", 400, "wrong_shape", 1),
        ({}, "device=a", 422, "no_metrics", None),
        ([TIMED, {"version": "1.2.3"}], "device=a", 422, "no_metrics", 1),
        ({"ts": "now", "values": {"temp": 1}}, "device=a", 422, "invalid_time", None),
        ({"ts": 4_102_444_800_000, "values": {"temp": 1}}, "device=a", 422, "in_future", None),
        ({"ts": 1000, "temp": 1}, "device=a", 422, "in_past", None),
        ({"ts": TS, "time": TS, "temp": 1}, "device=a", 422, "ambiguous_field", None),
        ({"ts": TS, "values": {"time": TS, "temp": 1}}, "device=a", 422, "reserved_name", None),
        ({**TIMED, "temp": 1}, "device=a", 422, "ambiguous_field", None),
        ({"a b": 1, "a_b": 2}, "device=a", 422, "ambiguous_field", None),
        ({"device": 7, "temp": 1}, "device=a", 422, "reserved_name", None),
        ({"x" * 65: 1}, "device=a", 422, "invalid_metric", None),
        ({"temp": 10**400}, "device=a", 422, "out_of_range", None),
        ([TIMED] * 10_001, "device=a", 413, "too_many_readings", None),
    ],
)  # fmt: skip
def test_errors(body: Any, query: str, status: int, code: str, index: int | None):
    with pytest.raises(Refused) as caught:
        parse(DOOR, body, query)
    assert (caught.value.status, caught.value.code, caught.value.index) == (status, code, index)


def test_the_device_is_the_one_that_the_token_is_for(
    web: Web, web_client: redis.Redis, accepted: Callable[[], int]
):
    def send(target: str, token: str = "") -> tuple[int, str]:
        reply = web.ask("POST", target, {"temp": 1}, token)
        assert reply.status != 200 or reply.headers["content-length"] == "0"
        return reply.status, "" if reply.json is None else reply.code

    assert send("/api/v1/any/telemetry") == (422, "missing_device")
    one, many = (
        tokens.create(web_client, Token(name, "", device, ("record",), 0))
        for name, device in (("one", "boiler"), ("many", "boiler-*"))
    )
    try:
        wait_until(lambda: send("/record/thingsboard?device=a")[0] == 401, "tokens")
        before = accepted()
        assert send(f"/api/v1/{one}/telemetry") == (200, "")
        assert send(f"/record/thingsboard?token={one}") == (200, "")
        assert send("/record/thingsboard", one) == (200, "")
        assert send("/record/thingsboard?device=boiler", one) == (200, "")
        assert send("/record/thingsboard?device=cellar", one) == (403, "wrong_device")
        assert send(f"/api/v1/{many}/telemetry") == (422, "missing_device")
        assert send(f"/api/v1/{many}/telemetry?device=boiler-2") == (200, "")
        assert send("/api/v1/wrong/telemetry?device=boiler") == (401, "unauthorized")
        assert accepted() == before + 5
    finally:
        tokens.revoke(web_client, "one")
        tokens.revoke(web_client, "many")
        wait_until(lambda: send("/record/thingsboard?device=a")[0] == 200, "no tokens")


def test_a_key_is_for_one_device(web: Web):
    key = {"Idempotency_Key": f"{web.port}"}
    for device, code in (("a", ""), ("a", ""), ("b", "key_reused")):
        reply = web.ask("POST", f"/record/thingsboard?device={device}", {"temp": 1}, **key)
        assert (reply.code if code else reply.status) == (code or 200)
