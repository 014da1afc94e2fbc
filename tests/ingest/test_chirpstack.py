"""The door for ChirpStack; its data has the documented fields."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.door_requests import NOW_MS, parse, readings
from support.processes import ROOT

from ingest.doors.chirpstack import ChirpStackDoor
from tributary.errors import Refused
from tributary.model import reading

DOOR = ChirpStackDoor()
UP = json.loads((ROOT / "tests/data/chirpstack_up.json").read_bytes())
INFO = UP["deviceInfo"]


def up(**changes: Any) -> dict[str, Any]:
    """The documented event with other members; `...` removes one."""
    return {name: value for name, value in {**UP, **changes}.items() if value is not ...}


def test_an_uplink_event():
    batch = parse(DOOR, UP, "event=up")
    [(device, time_ms, metrics)] = readings(batch)
    assert (device, reading.rfc3339(time_ms)) == ("0101010101010101", "2025-11-25T15:40:45.664Z")
    assert metrics == {
        "temperatureSensor.1": 25, "humiditySensor.1": 32, "BatV": 3.301, "rssi": -48, "snr": 9,
    }  # fmt: skip
    assert batch.idempotency_key == parse(DOOR, UP, "event=up").idempotency_key
    others = [parse(DOOR, up(deduplicationId=id_), "event=up") for id_ in ("x", ..., 7, "")]
    assert others[0].idempotency_key not in (None, batch.idempotency_key)
    assert [other.idempotency_key for other in others[1:]] == [None] * 3


@pytest.mark.parametrize(
    ("body", "query", "device", "metrics"),
    [
        (up(object={"t": 1}, rxInfo=[]), "event=up", "0101010101010101", {"t": 1}),
        (up(object=...), "event=up", "0101010101010101", {"rssi": -48, "snr": 9}),
        (up(object={"t": 1}, rxInfo=...), "device=device_name&event=up", "soil-7", {"t": 1}),
        (up(object={"t": 1, "rssi": 7}), "event=up", "0101010101010101", {"t": 1, "rssi": 7, "snr": 9}),
    ],
)  # fmt: skip
def test_variants(body: Any, query: str, device: str, metrics: dict[str, float]):
    [found] = readings(parse(DOOR, body, query))
    assert (found.device, found.metrics) == (device, metrics)


def test_without_a_time_it_is_that_of_arrival():
    [found] = readings(parse(DOOR, up(time=...), "event=up"))
    assert found.time_ms == NOW_MS


@pytest.mark.parametrize(
    "event", ["join", "ack", "txack", "log", "status", "location", "integration"]
)
def test_other_events_store_nothing(event: str):
    batch = parse(DOOR, UP, f"event={event}")
    assert (batch.readings, batch.idempotency_key) == (0, None)


@pytest.mark.parametrize(
    ("body", "query", "status", "code"),
    [
        (UP, "", 400, "invalid_event"),
        (UP, "event=", 400, "invalid_event"),
        (UP, "event=up&device=x", 400, "invalid_device"),
        (b"\x0a\x24", "event=up", 400, "not_json"),
        (b"\xff\xfe", "event=up", 400, "bad_encoding"),
        ([UP], "event=up", 400, "wrong_shape"),
        ({}, "event=up", 422, "missing_device"),
        (up(deviceInfo={**INFO, "deviceName": "Soil 7"}), "event=up&device=device_name", 422, "invalid_device"),
        (up(object={}, rxInfo=[]), "event=up", 422, "no_metrics"),
        (up(time="today"), "event=up", 422, "invalid_time"),
        (up(time="2199-01-01T00:00:00Z"), "event=up", 422, "in_future"),
        (up(object={"a b": 1, "a_b": 2}), "event=up", 422, "ambiguous_field"),
    ],
)  # fmt: skip
def test_errors(body: Any, query: str, status: int, code: str):
    with pytest.raises(Refused) as caught:
        parse(DOOR, body, query)
    assert (caught.value.status, caught.value.code) == (status, code)
