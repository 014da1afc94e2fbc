"""Cars and phones: Torque Pro, OsmAnd and Traccar Client, OwnTracks."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from support.door_requests import NOW_MS, parse, readings, status_of
from support.processes import ROOT
from support.waiting import wait_until
from support.webs import Web

from ingest.doors.door import Door
from ingest.doors.osmand import OsmAndDoor
from ingest.doors.owntracks import OwnTracksDoor
from ingest.doors.torque import TorqueDoor
from tributary.auth import tokens
from tributary.auth.guard import RequestHeaders
from tributary.auth.tokens import Token
from tributary.errors import Refused

TORQUE, OSMAND, OWNTRACKS = TorqueDoor(), OsmAndDoor(), OwnTracksDoor()
DATA = ROOT / "tests/data"
UPLOAD = (DATA / "torque_upload.txt").read_text().strip()
TRACCAR = (DATA / "traccar_client.json").read_bytes()
LOCATION = json.loads((DATA / "owntracks_location.json").read_bytes())
TIME_MS = 1_764_084_121_000  # 2025-11-25T15:22:01Z


def test_an_upload_of_torque():
    [reading] = readings(parse(TORQUE, b"", UPLOAD))
    assert reading == (
        "3f2c9a1e0b4d4c6f8e7a5b2c1d0e9f8a",
        TIME_MS + 250,
        {
            "kff1005": -0.12775, "kff1006": 51.50735, "kff1001": 71.64, "kff1007": 182.5,
            "kff1010": 35.2, "engine_temperature": 92.0, "engine_rpm": 2100.5, "speed": 72.0,
            "k4": 34.509804, "kf": 21.0, "k2f": 63.529411, "kff1202": -0.095,
        },
    )  # fmt: skip


@pytest.mark.parametrize(
    "query",
    ["userUnit5=%C2%B0C&defaultUnit5=%C2%B0C", "profileName=Golf&profileFuelType=0", "userFullName5=x",
     "notice=connected"],
)  # fmt: skip
def test_a_description_of_torque_stores_nothing(query: str):
    batch = parse(TORQUE, b"", f"eml=&v=9&session=1&id=a&time={TIME_MS}&{query}")
    assert batch.readings == 0
    assert TORQUE.ok(batch)[:2] == (b"OK!", 200)


def test_a_position_of_osmand_as_query_or_form():
    query = (
        "id=phone&lat=51.5&lon=-0.12&timestamp=1764084121&speed=10&altitude=35.2&batt=87.5&bearing=182"
        "&accuracy=4.7&hdop=0.9&charge=true&driverUniqueId=x&token=x"
    )
    metrics = {
        "lat": 51.5, "lon": -0.12, "speed": 18.52, "altitude": 35.2, "batt": 87.5, "bearing": 182,
        "accuracy": 4.7, "hdop": 0.9, "charge": 1,
    }  # fmt: skip
    for batch in (parse(OSMAND, b"", query), parse(OSMAND, query.encode())):
        [reading] = readings(batch)
        assert reading[:2] == ("phone", TIME_MS)
        assert reading.metrics == pytest.approx(metrics)


@pytest.mark.parametrize(
    ("query", "metrics"),
    [
        ("speed=10", {"speed": 18.52}),
        ("speed=10&speed_unit=m/s", {"speed": 36}),
        ("speed=10&speed_unit=kmh", {"speed": 10}),
        ("speed=10&speed_unit=mph", {"speed": 16.09344}),
        ("heading=90&valid=false", {"bearing": 90, "valid": 0}),
        ("location=51.5,-0.12", {"lat": 51.5, "lon": -0.12}),
        ("location=51.5,-0.12&lat=51.5", {"lat": 51.5, "lon": -0.12}),
        ("lat=51.5&lon=x&a-b=1", {"lat": 51.5, "a_b": 1}),
    ],
)
def test_fields_of_osmand(query: str, metrics: dict[str, float]):
    [reading] = readings(parse(OSMAND, b"", f"deviceid=phone&{query}"))
    assert reading.metrics == pytest.approx(metrics)


@pytest.mark.parametrize(
    ("time", "time_ms"),
    [
        ("1764084121", TIME_MS),
        ("1764084121250", TIME_MS + 250),
        ("1764084121.25", TIME_MS + 250),
        ("2025-11-25T15:22:01Z", TIME_MS),
        ("2025-11-25T16:22:01%2B01:00", TIME_MS),
        ("2025-11-25T16:22:01+01:00", TIME_MS),
        ("", NOW_MS),
    ],
)
def test_times_of_osmand(time: str, time_ms: int):
    [reading] = readings(parse(OSMAND, b"", f"id=a&lat=1&timestamp={time}"))
    assert reading.time_ms == time_ms


def test_a_position_of_traccar_client():
    [reading] = readings(parse(OSMAND, TRACCAR))
    assert reading[:2] == ("123456", TIME_MS + 250)
    assert reading.metrics == pytest.approx(
        {"lat": 51.50735, "lon": -0.12775, "accuracy": 4.7, "speed": 36, "bearing": 182.5,
         "altitude": 35.2, "batt": 87, "charge": 0}
    )  # fmt: skip


def test_several_positions_of_traccar_client_and_unknown_values():
    coords = {"latitude": 1, "longitude": 2, "speed": -1, "heading": -1, "accuracy": -1}
    location = {"timestamp": TIME_MS, "coords": coords, "battery": {"level": -1}}
    batch = parse(OSMAND, {"location": [location, {"coords": coords}], "device_id": 7})
    assert readings(batch) == [
        ("7", TIME_MS, {"lat": 1, "lon": 2}),
        ("7", NOW_MS, {"lat": 1, "lon": 2}),
    ]
    assert batch.is_batch
    assert readings(parse(OSMAND, {"location": location}, "id=a"))[0].device == "a"


OWN = {"lat": 51.50735, "lon": -0.12775, "acc": 12, "alt": 35, "vac": 4, "vel": 36, "cog": 182,
       "batt": 87, "absolute_pressure": 1013.25}  # fmt: skip


def own(item: Any, query: str = "", **headers: str) -> Any:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return parse(OWNTRACKS, item, query, head=RequestHeaders(find=fields.get))


@pytest.mark.parametrize(
    ("query", "headers", "device"),
    [
        ("", {}, "jane/phone"),
        ("", {"X_Limit_U": "joe", "X_Limit_D": "tablet"}, "joe/tablet"),
        ("u=ann&d=watch", {}, "ann/watch"),
        ("", {"X_Limit_U": "joe"}, "jane/phone"),
    ],
)
def test_a_location_of_owntracks(query: str, headers: dict[str, str], device: str):
    [reading] = readings(own(LOCATION, query, **headers))
    assert reading[:2] == (device, TIME_MS)
    assert reading.metrics == pytest.approx(OWN)


@pytest.mark.parametrize(
    "item",
    [
        b"",
        b" \n",
        {"_type": "waypoint"},
        {"_type": "encrypted", "data": "x"},
        {"_type": "lwt", "tst": 1},
    ],
)
def test_other_messages_of_owntracks_store_nothing(item: Any):
    batch = own(item)
    assert batch.readings == 0
    assert OWNTRACKS.ok(batch)[:2] == (b"[]", 200)


def test_unknown_values_of_owntracks_are_left_out():
    item = {
        **LOCATION,
        "vel": -1,
        "cog": -1,
        "vac": -1,
        "batt": -1,
        "acc": None,
        "alt": -3,
        "p": "x",
    }
    [reading] = readings(own(item))
    assert reading.metrics == {"lat": 51.50735, "lon": -0.12775, "alt": -3}


@pytest.mark.parametrize(
    ("door", "body", "query", "refusal"),
    [
        (TORQUE, b"", "", (422, "missing_device", "id")),
        (TORQUE, b"", "session=1&k5=1", (422, "missing_device", "id")),
        (TORQUE, b"", "id=a+b&profileName=x", (422, "invalid_device", "device")),
        (TORQUE, b"", "id=a&k5=-", (422, "no_metrics", None)),
        (TORQUE, b"", "id=a&k5=1&k05=2", (422, "ambiguous_field", "k05")),
        (TORQUE, b"", "id=a&k5=1e400", (422, "out_of_range", "engine_temperature")),
        (TORQUE, b"", "id=a&k5=1&time=x", (422, "invalid_time", "time")),
        (TORQUE, b"", "id=a&k5=1&time=4070908800000", (422, "in_future", "time")),
        (OSMAND, b"", "lat=1", (422, "missing_device", "id")),
        (OSMAND, b"", "id=a&deviceid=b&lat=1", (422, "ambiguous_field", "deviceid")),
        (OSMAND, b"", "id=a&lat=x", (422, "no_metrics", None)),
        (OSMAND, b"", "id=a&lat=1&location=2,3", (422, "ambiguous_field", "lat")),
        (OSMAND, b"", "id=a&location=2", (422, "invalid_location", "location")),
        (OSMAND, b"", "id=a&location=2,x", (422, "invalid_location", "location")),
        (OSMAND, b"", "id=a&speed=1&speed_unit=x", (422, "invalid_unit", "speed_unit")),
        (OSMAND, b"", "id=a&speed=1&speed_unit=degC", (422, "invalid_unit", "speed_unit")),
        (OSMAND, b"", "id=a&lat=1&timestamp=2025-11-25T15:22:01", (422, "invalid_time", "timestamp")),
        (OSMAND, b"id=a", "id=a", (400, "duplicate_name", "id")),
        (OSMAND, b"lat", "", (400, "not_a_form", None)),
        (OSMAND, b"{", "", (400, "not_json", None)),
        (OSMAND, b"[1]", "", (400, "wrong_shape", None)),
        (OSMAND, {"device_id": "a"}, "", (400, "wrong_shape", None)),
        (OSMAND, {"device_id": "a", "location": 1}, "", (400, "wrong_shape", None)),
        (OSMAND, {"device_id": "a", "location": {"coords": []}}, "", (400, "wrong_shape", None)),
        (OSMAND, {"device_id": "a", "location": []}, "", (400, "no_readings", None)),
        (OSMAND, {"location": {"coords": {"latitude": 1}}}, "", (422, "missing_device", "device_id")),
        (OSMAND, {"device_id": "a", "location": {"coords": {}}}, "", (422, "no_metrics", None)),
        (OSMAND, {"device_id": "a", "location": {"coords": {"speed": 10**350}}}, "", (422, "out_of_range", "speed")),
        (OSMAND, {"device_id": "a", "location": {"timestamp": "x", "coords": {"latitude": 1}}}, "", (422, "invalid_time", "timestamp")),
        (OWNTRACKS, b"{", "", (400, "not_json", None)),
        (OWNTRACKS, [LOCATION], "", (400, "wrong_shape", None)),
        (OWNTRACKS, {"lat": 1}, "", (400, "wrong_shape", None)),
        (OWNTRACKS, {"_type": 7}, "", (400, "wrong_shape", None)),
        (OWNTRACKS, {"_type": "location", "lat": 1}, "", (422, "missing_device", "topic")),
        (OWNTRACKS, {**LOCATION, "topic": "owntracks/a/b/event"}, "", (422, "missing_device", "topic")),
        (OWNTRACKS, {**LOCATION, "topic": "other/a/b"}, "", (422, "missing_device", "topic")),
        (OWNTRACKS, {**LOCATION, "topic": "owntracks//b"}, "", (422, "missing_device", "topic")),
        (OWNTRACKS, {**LOCATION, "topic": 7}, "u=a", (422, "missing_device", "topic")),
        (OWNTRACKS, LOCATION, "u=a+b&d=c", (422, "invalid_device", "device")),
        (OWNTRACKS, {"_type": "location", "topic": "owntracks/a/b"}, "", (422, "no_metrics", None)),
        (OWNTRACKS, {**LOCATION, "tst": "x"}, "", (422, "invalid_time", "tst")),
        (OWNTRACKS, {**LOCATION, "tst": True}, "", (422, "invalid_time", "tst")),
    ],
)  # fmt: skip
def test_errors(door: Door, body: Any, query: str, refusal: Any):
    with pytest.raises(Refused) as caught:
        parse(door, body, query)
    assert (caught.value.status, caught.value.code, caught.value.field) == refusal


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
)
_objects = st.fixed_dictionaries(
    {"_type": st.just("location"), "topic": st.just("owntracks/a/b"), "device_id": st.just("a")},
    optional=dict.fromkeys(("lat", "tst", "p", "location", "vel"), _json)
    | {
        "location": st.fixed_dictionaries(
            {"coords": st.dictionaries(st.sampled_from(["speed"]), _json)}
        )
    },
).map(lambda item: json.dumps(item).encode())
_names = st.sampled_from(
    ["id", "k5", "kc", "time", "timestamp", "lat", "speed", "speed_unit", "location"]
)
_fields = st.dictionaries(_names, st.sampled_from("15a") | st.text(max_size=4)).map(urlencode)


@given(st.binary() | _objects, _fields)
def test_any_request_is_stored_or_rejected(body: bytes, query: str):
    for door in (TORQUE, OSMAND, OWNTRACKS):
        assert 200 <= status_of(door, body) < 500
        assert 200 <= status_of(door, b"", query) < 500


def test_requests_over_http(web: Web, accepted: Callable[[], int]):
    before = accepted()
    reply = web.get(f"/record/torque?{UPLOAD}")
    assert (reply.status, reply.content) == (200, b"OK!")
    assert web.get("/record/osmand?id=a&lat=1&lon=2&timestamp=1764084121").json == {"success": True}
    assert web.ask("POST", "/record/osmand?id=a&lat=1", b"").json == {"success": True}
    assert web.ask("POST", "/record/osmand", TRACCAR).json == {"success": True}
    limits = {"X-Limit-U": "jane", "X-Limit-D": "phone"}
    for body in (LOCATION, {**LOCATION, "_type": "card"}, b""):
        reply = web.ask("POST", "/record/owntracks", body, **limits)
        assert (reply.status, reply.json) == (200, [])
    assert accepted() == before + 5


def test_tokens(web: Web, web_client: redis.Redis):
    """In the URL for the apps without a setting for header fields; OwnTracks sends a password."""
    secret = tokens.create(web_client, Token("phone", "", "jane/*", ("record",), 0))
    try:
        path = "/record/osmand?id=jane/a&lat=1"
        wait_until(lambda: web.get(path).status == 401, "tokens to be required")
        assert web.get(f"{path}&token={secret}").status == 200
        assert web.get(f"/record/osmand?id=joe&lat=1&token={secret}").code == "wrong_device"
        assert web.get(f"/record/torque?id=jane/car&k5=1&token={secret}").status == 200
        for password, status in ((secret, 200), ("wrong", 401)):
            basic = b64encode(f"jane:{password}".encode()).decode()
            reply = web.ask("POST", "/record/owntracks", LOCATION, Authorization=f"Basic {basic}")
            assert reply.status == status
        assert secret not in web.process.text
    finally:
        tokens.revoke(web_client, "phone")
        wait_until(lambda: web.get(path).status == 200, "no tokens")
