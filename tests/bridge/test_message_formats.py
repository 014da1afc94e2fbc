"""What the messages of usual and mapped topics mean."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import mapping
from bridge.formats import Reader
from bridge.message import Ignored, Message
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.model import catalogue, reading
from tributary.settings import Settings

NOW_MS = 1_764_000_000_000
CATALOGUE = catalogue.load("")
TASMOTA = {"Time": "2025-07-01T12:00:00", "DS18B20": {"Id": "3C01", "Temperature": 20.5}}
LOGGER = {
    "messageId": 7,
    "sessionId": "s",
    "deviceId": "phone",
    "payload": [{"name": "gravity", "time": 1_763_805_600_250_000_000, "values": {"x": 1.5}}],
}
LOCATION = {"_type": "location", "lat": 52.5, "lon": 13.4, "batt": 80, "tst": 1_763_805_600}
_GARDEN = """
filter = "garden/+/temp"
format = "number"
device = "garden-{2}"
metric = "temperature"
unit = "degF"
"""
_RTL = """
filter = "rtl/+/json"
format = "json"
device = "rtl-{2}"
id = "id"
rename = {temperature_F = "temperature"}
units = {temperature = "degF"}
"""


def read(topic: str, payload: Any, file: str = "", timezone: str = "", **fields: Any) -> Any:
    """The batch of a message."""
    body = payload if isinstance(payload, bytes) else _text(payload).encode()
    reader = Reader(Rules(Settings()), CATALOGUE, mapping.parse(file, CATALOGUE), timezone)
    return reader.read(Message(topic, body, NOW_MS, **fields))


def _text(payload: Any) -> str:
    return payload if isinstance(payload, str) else json.dumps(payload)


def rows(batch: Any) -> list[tuple[str, dict[str, float], int]]:
    """Device, values and time of each block of one reading."""
    found = []
    for blocks in batch.blocks.values():
        for block in blocks:
            metrics, at = block.metrics, block.recorded_at_ms
            if isinstance(at, bytes):
                at = int(np.frombuffer(at, np.int64)[0])
                metrics = {name: float(np.frombuffer(v)[0]) for name, v in metrics.items()}
            device = block.device if isinstance(block.device, str) else block.device[0]
            found.append((device, metrics, at))
    return sorted(found, key=str)


def one(topic: str, payload: Any, file: str = "", timezone: str = "") -> Any:
    [found] = rows(read(topic, payload, file, timezone))
    return found


@pytest.mark.parametrize(
    ("topic", "payload", "device", "metrics"),
    [
        ("car-7/speed", "81.5", "car-7", {"speed": 81.5}),
        ("home/kitchen/temperature", " 21 \n", "home/kitchen", {"temperature": 21.0}),
        ("car-7/engine temp", "1e2", "car-7", {"engine_temp": 100.0}),
        ("livingroom/sensor/temperature/state", "21.5", "livingroom", {"temperature": 21.5}),
        ("door/binary_sensor/front/state", "ON", "door", {"binary_sensor.front": 1.0}),
        ("homeassistant/sensor/bath/state", "19", "homeassistant", {"bath": 19.0}),
        ("homeassistant/switch/pump/state", "off", "homeassistant", {"switch.pump": 0.0}),
        ("readings", {"device": "car-7", "speed": 3}, "car-7", {"speed": 3.0}),
        ("readings/car-8", {"speed": 3}, "readings/car-8", {"speed": 3.0}),
        ("readings", {"device_id": "car-7", "ts": 1763805600, "speed": 3}, "car-7", {"speed": 3.0}),
        ("zigbee2mqtt/attic", {"temperature": 7, "device": {"ieeeAddr": "0x1"}, "state": "ON"},
         "attic", {"temperature": 7.0}),
        ("zigbee2mqtt/floor/attic", {"humidity": 40}, "floor/attic", {"humidity": 40.0}),
        ("tele/plug/SENSOR", TASMOTA, "plug", {"DS18B20.Temperature": 20.5}),
        ("plug/tele/SENSOR", TASMOTA, "plug", {"DS18B20.Temperature": 20.5}),
        ("sensor-logger", LOGGER, "phone", {"gravity.x": 1.5}),
        ("elsewhere", LOGGER, "phone", {"gravity.x": 1.5}),
        ("owntracks/eve/phone", LOCATION, "eve/phone",
         {"lat": 52.5, "lon": 13.4, "batt": 80.0}),
    ],
)  # fmt: skip
def test_usual_topics(topic: str, payload: Any, device: str, metrics: dict[str, float]):
    assert one(topic, payload)[:2] == (device, metrics)


@pytest.mark.parametrize(
    ("topic", "payload", "file", "device", "metrics"),
    [
        ("garden/3/temp", "212", _GARDEN, "garden-3", {"temperature": 100.0}),
        ("x/y", "5", 'filter="x/y"\nformat="number"\nmetric="unlisted"\nunit="degF"',
         "x", {"unlisted": 5.0}),
        ("rtl/2/json", {"id": 4, "temperature_F": 50, "note": "x"}, _RTL,
         "rtl-2", {"temperature": 10.0}),
        ("a/b", {"deviceId": "own", "v": {"w": 1}}, 'filter="a/b"\nformat="json"\nid="n"',
         "own", {"v.w": 1.0}),
        ("a/b", {"device": "own", "v": 1}, 'filter="a/+"\nformat="json"\ndevice="fixed-{2}"',
         "fixed-b", {"v": 1.0}),
    ],
)  # fmt: skip
def test_mapped_topics(topic: str, payload: Any, file: str, device: str, metrics: dict[str, float]):
    if isinstance(payload, dict) and 'id="n"' in file:
        payload = {**payload, "n": "m-1"}
    found = one(topic, payload, f"[[topic]]\n{file}")[:2]
    assert found == (device, pytest.approx(metrics))


@pytest.mark.parametrize(
    ("fields", "timezone", "recorded_at"),
    [
        ({}, "", reading.rfc3339(NOW_MS)),
        ({}, "Europe/Berlin", "2025-07-01T10:00:00.000Z"),
        ({"Time": "2025-07-01T12:00:00+03:00"}, "Europe/Berlin", "2025-07-01T09:00:00.000Z"),
        ({"Epoch": 1_751_364_000}, "Asia/Tokyo", "2025-07-01T10:00:00.000Z"),
        # Twice in the night when summer time ends: the first; not at all: as if not yet set.
        ({"Time": "2024-10-27T02:30:00"}, "Europe/Berlin", "2024-10-27T00:30:00.000Z"),
        ({"Time": "2025-03-30T02:30:00"}, "Europe/Berlin", "2025-03-30T01:30:00.000Z"),
    ],
)
def test_tasmota_times(fields: dict[str, Any], timezone: str, recorded_at: str):
    found = one("tele/plug/SENSOR", {**TASMOTA, **fields}, timezone=timezone)
    assert reading.rfc3339(found[2]) == recorded_at


@pytest.mark.parametrize(
    ("fields", "metrics"),
    [
        ({"TempUnit": "C"}, {"DS18B20.Temperature": 20.5}),
        ({"TempUnit": "F", "DS18B20": {"Temperature": 212, "DewPoint": 32}},
         {"DS18B20.Temperature": 100.0, "DS18B20.DewPoint": 0.0}),
        ({"PressureUnit": "mmHg", "DS18B20": {"Pressure": 750, "Humidity": 40}},
         {"DS18B20.Pressure": 999.918, "DS18B20.Humidity": 40.0}),
    ],
)  # fmt: skip
def test_tasmota_units_are_converted(fields: dict[str, Any], metrics: dict[str, float]):
    found = one("tele/plug/SENSOR", {**TASMOTA, **fields})[1]
    assert found == pytest.approx(metrics, rel=1e-5)


def test_json_of_record_may_be_an_array():
    batch = read("site/a", [{"device": "car-1", "speed": 1}, {"speed": 2}])
    assert [row[:2] for row in rows(batch)] == [
        ("car-1", {"speed": 1.0}),
        ("site/a", {"speed": 2.0}),
    ]


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("tele/plug/LWT", "Online"),
        ("tele/plug/STATE", "{}"),
        ("stat/plug/RESULT", "{}"),
        ("livingroom/status", "online"),
        ("zigbee2mqtt/bridge/state", '{"state":"online"}'),
        ("zigbee2mqtt/attic/availability", '{"state":"online"}'),
        ("zigbee2mqtt/attic", b""),
        ("homeassistant/sensor/x/config", "{}"),
        ("homeassistant/sensor/x/state", "unavailable"),
        ("owntracks/eve/phone", '{"_type":"lwt","tst":1}'),
        ("owntracks/eve/phone/event", '{"_type":"transition"}'),
    ],
)
def test_states_and_commands_are_ignored(topic: str, payload: Any):
    with pytest.raises(Ignored):
        read(topic, payload)


@pytest.mark.parametrize(
    ("topic", "payload", "file", "code"),
    [
        ("car-7/speed", "fast", "", "not_a_number"),
        ("speed", "7", "", "unknown_topic"),
        ("car 7/speed", "7", "", "invalid_device"),
        ("car-7/speed", "1e999", "", "out_of_range"),
        ("a/b", "{", "", "not_json"),
        ("a/b", b"\xff{", "", "not_a_number"),
        ("a/b", '{"a":1,"a":2}', "", "duplicate_name"),
        ("a/b", "{}", "", "no_metrics"),
        ("a/b", "[1]", "", "wrong_shape"),
        ("a/b", {"recorded_at": "2025-01-01T00:00:00", "v": 1}, "", "invalid_time"),
        ("tele/plug/SENSOR", "7", "", "wrong_shape"),
        ("tele/plug/SENSOR", {**TASMOTA, "TempUnit": "X"}, "", "unknown_unit"),
        ("sensor-logger", "{}", "", "wrong_shape"),
        ("owntracks/eve/phone", {"_type": "location", "lat": "north"}, "", "no_metrics"),
        ("a/b", b" " * 2_000_000, "", "body_too_large"),
        ("a/b", "[]", 'filter="a/b"\nformat="json"\nid="n"', "wrong_shape"),
        ("a/b", {"v": 1}, 'filter="a/b"\nformat="json"\nid="n"', "no_id"),
        ("a/b", {"v": 1, "w": 2}, 'filter="a/b"\nformat="json"\nrename={v="w"}',
         "ambiguous_field"),
        ("a/speed", "5", 'filter="a/+"\nformat="number"\nmetric="{2}"\nunit="kg"',
         "unknown_unit"),
    ],
)  # fmt: skip
def test_a_message_that_cannot_be_stored_has_a_code(topic: str, payload: Any, file: str, code: str):
    with pytest.raises(Refused) as caught:
        read(topic, payload, f"[[topic]]\n{file}" if file else "")
    assert caught.value.code == code
    assert "; " in caught.value.message or code in {"unknown_unit", "ambiguous_field", "not_json"}


def test_ids_are_keys_within_their_topic():
    file = '[[topic]]\nfilter = "a/+"\nformat = "json"\nid = "n"'
    keys = {
        read(topic, {"n": n, "v": 1}, file).idempotency_key
        for topic in ("a/b", "a/c")
        for n in (1, 2, "x", "é" * 999)
    }
    assert len(keys) == 8
    assert all(key.startswith("mqtt-") and len(key) < 128 for key in keys)
    assert read("a/b", {"n": 1, "v": 1}, file, key="own").idempotency_key == "own"
    assert read("sensor-logger", LOGGER).idempotency_key.startswith("sensor-logger-")
    assert read("car-7/speed", "1").idempotency_key is None


@given(
    st.sampled_from(
        ["a/b", "tele/x/SENSOR", "sensor-logger", "owntracks/a/b", "zigbee2mqtt/x", "a/sensor/b/state"]
    ),
    st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["device", "time", "Time", "Epoch", "TempUnit", "_type", "tst", "lat", "v",
                         "payload", "deviceId", "name", "values", "Temperature"]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
    ),
)  # fmt: skip
def test_any_message_is_stored_refused_or_ignored(topic: str, payload: bytes):
    try:
        batch = read(topic, payload, timezone="Europe/Berlin")
    except (Refused, Ignored):
        return
    assert batch.readings >= 0
