"""The door for the phone app Sensor Logger; the body in tests/data has the fields of a real one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from support.door_requests import NOW_MS, RULES, parse, readings, status_of
from support.processes import ROOT
from support.waiting import wait_until
from support.webs import Web

from ingest.doors.sensor_logger import SensorLoggerDoor
from ingest.limits import Rules
from tributary.auth import tokens
from tributary.auth.tokens import Token
from tributary.errors import Refused, Unavailable
from tributary.http import flask_app
from tributary.settings import Settings

DOOR = SensorLoggerDoor()
DOCUMENTED = (ROOT / "tests/data/sensor_logger.json").read_bytes()
PHONE = "7c1f0a1e-5f5b-4d6c-8f0a-2f0f0c7a9d3e"
NS = 1_716_760_513_715_797_500
SAMPLE = {"name": "light", "time": NS, "values": {"lux": 5}}


def message(*payload: Any, **changes: Any) -> dict[str, Any]:
    found = {"deviceId": "p", "sessionId": "s", "messageId": 1, "payload": list(payload), **changes}
    return {name: value for name, value in found.items() if value is not ...}


def stored(body: Any) -> list[Any]:
    return [(time_ms, metrics) for _, time_ms, metrics in readings(parse(DOOR, body))]


def test_a_message_with_the_documented_fields():
    found = readings(parse(DOOR, DOCUMENTED))
    assert {reading.device for reading in found} == {PHONE}
    assert [(reading.time_ms, reading.metrics) for reading in found] == [
        (1716760513715, {"accelerometer.z": -0.012, "accelerometer.y": 0.034, "accelerometer.x": 0.056}),
        (1716760513715, {"gyroscope.z": 0.001, "gyroscope.y": -0.002, "gyroscope.x": 0.003}),
        (1716760513725, {"accelerometer.z": -0.013, "accelerometer.y": 0.035, "accelerometer.x": 0.057}),
        (1716760513725, {"wrist_motion.rotationRateX": 0.5}),
        (1716760513000, {
            "location.latitude": 51.5, "location.longitude": -0.12, "location.altitude": 11.5,
            "location.speed": -1, "location.bearing": -1, "location.horizontalAccuracy": 4.7,
            "location.verticalAccuracy": 3, "location.speedAccuracy": -1, "location.bearingAccuracy": -1,
        }),
        (1716760513100, {"battery.batteryLevel": 0.82, "battery.lowPowerMode": 0}),
        (1716760513100, {"network.isConnected": 1}),
        (1716760513400, {"annotation.millisecond_press_duration": 120}),
    ]  # fmt: skip


LUX = (NS // 1_000_000, {"light.lux": 5.0})


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (message(SAMPLE), [LUX]),
        (message(payload=..., sensors=[SAMPLE]), [LUX]),
        (message(SAMPLE, messageId="7", timestamp="2024-05-26T21:55:13Z"), [LUX]),
        ([message(SAMPLE), message(SAMPLE, messageId=2)], [LUX, LUX]),
        (message(SAMPLE, sessionId=..., messageId=...), [LUX]),
        (message(), []),
        ([], []),
        (message({"name": "test", "time": NS, "values": {"x": 1}}, deviceId=...), []),
        (message({**SAMPLE, "values": {"lux": "5", "on": True, "s": "x", "n": None, "l": [1]}}),
         [(LUX[0], {"light.lux": 5.0, "light.on": 1.0})]),
        (message({**SAMPLE, "values": {"a": {"b": 1}}}), [(LUX[0], {"light.a.b": 1.0})]),
        (message({**SAMPLE, "values": {}}), []),
        (message({**SAMPLE, "values": {"image": "x"}}), []),
        (message({**SAMPLE, "time": NS // 10**6}), [LUX]),
        (json.dumps(message(SAMPLE, {**SAMPLE, "values": {"lux": 0}})).replace("0}", "NaN}").encode(),
         [LUX]),
        (b"\xef\xbb\xbf" + json.dumps(message(SAMPLE)).encode(), [LUX]),
        (message({**SAMPLE, "time": str(NS)}), [LUX]),
    ],
)  # fmt: skip
def test_variants(body: Any, found: list[Any]):
    assert stored(body) == found


@pytest.mark.parametrize(
    ("body", "status", "code", "index"),
    [
        (b"", 400, "not_json", None),
        (b"{", 400, "not_json", None),
        (b"7", 400, "wrong_shape", None),
        (b"[" * 2000, 400, "wrong_shape", None),
        ([7], 400, "wrong_shape", None),
        (message(payload=...), 400, "wrong_shape", None),
        (message(SAMPLE, sensors=[]), 400, "wrong_shape", None),
        (message(payload={"name": "x"}), 400, "wrong_shape", None),
        (message(SAMPLE, 7), 400, "wrong_shape", 1),
        (message({"name": "light", "time": NS}), 400, "wrong_shape", 0),
        (message({**SAMPLE, "values": "x"}), 400, "wrong_shape", 0),
        (message(SAMPLE, {**SAMPLE, "values": ["lux"]}), 400, "wrong_shape", 1),
        (message({**SAMPLE, "name": 7}), 400, "wrong_shape", 0),
        (message({**SAMPLE, "name": {}}), 400, "wrong_shape", 0),
        (message({"name": "light", "values": {"lux": 1}}), 400, "wrong_shape", 0),
        (message(SAMPLE, deviceId=...), 422, "missing_device", None),
        (message(SAMPLE, deviceId=True), 422, "invalid_device", None),
        (message(SAMPLE, deviceId="my phone"), 422, "invalid_device", None),
        (message(SAMPLE, {**SAMPLE, "time": "now"}), 422, "invalid_time", 1),
        (message(SAMPLE, {**SAMPLE, "time": 10**18 - 10**17}), 422, "in_past", 1),
        (message({**SAMPLE, "time": True}), 422, "invalid_time", 0),
        (message({**SAMPLE, "time": None}), 422, "invalid_time", 0),
        (message(SAMPLE, {**SAMPLE, "time": (NOW_MS + 3_600_000) * 10**6}), 422, "in_future", 1),
        (message({**SAMPLE, "values": {"x" * 70: 1}}), 422, "invalid_metric", 0),
        (message({**SAMPLE, "values": {"a b": 1, "a_b": 1}}), 422, "ambiguous_field", None),
        (message({**SAMPLE, "values": {f"m{n}": n for n in range(65)}}), 422, "too_many_metrics", 0),
        (message(SAMPLE, {**SAMPLE, "values": {"lux": 10**400}}), 422, "out_of_range", 1),
        (b'{"deviceId":"p","payload":[{"name":"a","time":1716760513715797500,"values":{"x":1e999}}]}',
         422, "out_of_range", 0),
        (message(*[SAMPLE] * 10_001), 413, "too_many_readings", None),
    ],
)  # fmt: skip
def test_errors(body: Any, status: int, code: str, index: int | None):
    with pytest.raises(Refused) as caught:
        parse(DOOR, body)
    assert (caught.value.status, caught.value.code, caught.value.index) == (status, code, index)


def test_implausible_values_may_be_rejected():
    rules = Rules(Settings(implausible="refuse"))
    sample = {"name": "heartrate", "time": NS, "values": {"bpm": 60}}
    assert parse(DOOR, message(sample), rules=rules).readings == 1
    with pytest.raises(Refused, match="400") as caught:
        parse(DOOR, message(sample, {**sample, "values": {"bpm": 500}}), rules=rules)
    assert (caught.value.code, caught.value.index) == ("implausible", 1)


def key(*messages: Any) -> str | None:
    return parse(DOOR, messages[0] if len(messages) == 1 else [*messages]).idempotency_key


def test_device_session_and_number_identify_a_message():
    one, two = message(SAMPLE), message(SAMPLE, messageId=2)
    assert key(one) == key([one]) == key(message(SAMPLE, messageId="1"))
    others = [two, message(SAMPLE, sessionId="t"), message(SAMPLE, deviceId="q")]
    assert len({key(one), *map(key, others), key(one, two), key(two, one)}) == 6
    assert key(message(SAMPLE, messageId=...)) is None
    assert key(one, message(SAMPLE, sessionId=...)) is None


def test_a_problem_with_the_token_is_shown_to_the_user_and_overload_is_not():
    for error in (
        tokens.unauthorized("unknown token"),
        Refused("x", status=403, code="wrong_device"),
    ):
        reply = DOOR.error(flask_app.http_error(error))
        assert (reply.status, reply.content_type) == (499, "text/plain; charset=utf-8")
        assert b"/sensor_data/TOKEN" in reply.body
    overload = DOOR.error(flask_app.http_error(Unavailable()))
    assert (overload.status, dict(overload.headers)) == (503, {"Retry-After": "1"})


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
)
_samples = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a", "b", "test"]) | _json,
        "time": st.just(NS) | st.integers() | _json,
        "values": st.dictionaries(st.sampled_from("xyz") | st.text(max_size=3), _json) | _json,
    }
)


@given(
    st.binary()
    | st.builds(lambda p: json.dumps(message(payload=p)).encode(), st.lists(_samples) | _json)
)
def test_any_body_is_stored_or_rejected(body: bytes):
    assert 200 <= status_of(DOOR, body) < 500


@pytest.mark.parametrize("path", ["/sensor_data", "/sensor_data/any-token"])
def test_a_message_is_counted_once(web: Web, accepted: Callable[[], int], path: str):
    body = {**json.loads(DOCUMENTED), "sessionId": f"{web.port}{path}"}
    before = accepted()
    for _ in range(2):
        reply = web.ask("POST", path, body)
        assert (reply.status, reply.json) == (200, {"status": "success"})
    assert accepted() == before + 8
    assert web.ask("POST", path, {**body, "payload": []}).status == 200
    changed = {**body, "payload": [SAMPLE]}
    assert web.ask("POST", path, changed).code == "key_reused"
    assert web.ask("GET", path).status == 405


def test_the_token_is_in_the_path_or_the_query_and_in_no_log(
    web: Web, web_client: redis.Redis, accepted: Callable[[], int]
):
    secret = tokens.create(web_client, Token("phone", "", "phone-*", ("record",), 0))
    try:
        wait_until(lambda: web.ask("POST", "/sensor_data", {}).status == 499, "tokens")
        before = accepted()
        for number, path in enumerate((f"/sensor_data/{secret}", f"/sensor_data?token={secret}")):
            ids = {"sessionId": f"{web.port}", "messageId": number}
            body = message(SAMPLE, deviceId="phone-1", **ids)
            assert web.ask("POST", path, body).status == 200
            assert web.ask("POST", path, {**body, "deviceId": "car-1"}).status == 499
            assert web.ask("POST", path, b"{").code == "not_json"
        assert web.ask("POST", "/sensor_data", message(SAMPLE), secret).status == 499
        assert web.ask("POST", "/sensor_data/wrong", message(SAMPLE)).status == 499
        assert accepted() == before + 2
        assert secret not in web.process.text
    finally:
        tokens.revoke(web_client, "phone")
        wait_until(lambda: web.ask("POST", "/sensor_data", {}).status == 400, "no tokens")


def test_a_large_message_is_stored_as_columns():
    payload = [{**SAMPLE, "time": NS + n, "values": {"lux": n}} for n in range(600)]
    batch = parse(DOOR, message(*payload))
    [[block]] = batch.blocks.values()
    assert batch.readings == 600
    assert len(msgspec.msgpack.encode(block)) < 600 * 17
    assert RULES.devices["p"] in batch.blocks
