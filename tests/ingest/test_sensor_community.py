"""The door for stations of Sensor.Community; its data has the documented fields."""

from __future__ import annotations

from typing import Any

import pytest
from support.door_requests import NOW_MS, Reading, parse, readings
from support.processes import ROOT

from ingest.doors.sensor_community import SensorCommunityDoor
from tributary.errors import Refused

DOOR = SensorCommunityDoor()
DOCUMENTED = (ROOT / "tests/data/sensor_community.json").read_bytes()


def message(*pairs: tuple[Any, Any], **changes: Any) -> dict[str, Any]:
    values = [{"value_type": name, "value": value} for name, value in pairs]
    return {"esp8266id": "7", "sensordatavalues": values, **changes}


def test_a_message():
    assert readings(parse(DOOR, DOCUMENTED)) == [
        Reading("1234567", NOW_MS, {
            "SDS_P1": 26.83, "SDS_P2": 22.6, "BME280_temperature": 21.53,
            "BME280_humidity": 53.64, "BME280_pressure": 97224.53, "samples": 588824, "min_micro": 243,
            "max_micro": 27694, "interval": 145000, "signal": -50,
        })
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pairs", "metrics"),
    [
        ([("temperature", "19.00"), ("humidity", "73.10")], {"temperature": 19, "humidity": 73.1}),
        ([("HTU21D_temperature", 19)], {"HTU21D_temperature": 19}),
        ([("P1", "200"), ("durP1", "5")], {"P1": 200, "durP1": 5}),
        ([("temperature", 19), ("BME280_temperature", 20)],
         {"temperature": 19, "BME280_temperature": 20}),
        ([("temperature", "nan"), ("signal", "-50")], {"signal": -50}),
        ([("GPS_lat", "52.5"), ("GPS_timestamp", "2025-11-25T15:40:45Z")], {"GPS_lat": 52.5}),
    ],
)  # fmt: skip
def test_value_types_are_metrics(pairs: Any, metrics: dict[str, float]):
    [found] = readings(parse(DOOR, message(*pairs, esp8266id=7)))
    assert (found.device, found.metrics) == ("7", metrics)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "not_json"),
        ([], 400, "wrong_shape"),
        ({"esp8266id": "7"}, 400, "wrong_shape"),
        (message(sensordatavalues={}), 400, "wrong_shape"),
        (message(sensordatavalues=[7]), 400, "wrong_shape"),
        (message(sensordatavalues=[{"value_type": "x"}]), 400, "wrong_shape"),
        (message((7, 7)), 400, "wrong_shape"),
        (message(("a", 1), ("a", 2)), 422, "ambiguous_field"),
        (message(("a b", 1), ("a_b", 2)), 422, "ambiguous_field"),
        (message(), 422, "no_metrics"),
        (message(("SDS_P1", "nan")), 422, "no_metrics"),
        (message(("SDS_P1", 1), esp8266id=None), 422, "missing_device"),
        (message(("SDS_P1", 1), esp8266id="a b"), 422, "invalid_device"),
        (message(("SDS_P1", 1), esp8266id=[]), 422, "invalid_device"),
        (message(("SDS_P1", 10**400)), 422, "out_of_range"),
    ],
)
def test_errors(body: Any, status: int, code: str):
    with pytest.raises(Refused) as caught:
        parse(DOOR, body)
    assert (caught.value.status, caught.value.code) == (status, code)
