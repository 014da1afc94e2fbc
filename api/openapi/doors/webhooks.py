"""The operations of the doors for messages of other systems."""

from __future__ import annotations

from typing import Any

from api.openapi import operation_parts as parts
from api.openapi.operation_parts import Part
from api.read import bodies
from tributary.settings import Settings

_THINGSBOARD = """\
Telemetry of ThingsBoard: `{"key":1}`, `{"ts":1763805600250,"values":{"key":1}}`, or an array of
them. The device is the one that the token is for, or else the parameter `device`."""
_TTN = """\
Webhooks of The Things Stack, version 3, in JSON. An uplink message becomes a reading with the
numbers of its decoded payload, and `rssi` and `snr` of the gateway with the strongest signal. Other
messages store nothing."""
_CHIRPSTACK = """\
The HTTP integration of ChirpStack, version 4, in JSON. An event `up` becomes a reading with the
numbers of `object`, and `rssi` and `snr` of the gateway with the strongest signal. Other events
store nothing."""
_SENSOR_COMMUNITY = """\
Messages of the airrohr firmware of Sensor.Community to an own API. Temperature, humidity, pressure
and particulate matter are stored under the names and in the units of the catalogue."""
_TEXT = {"type": "string"}
_ANY_OBJECT = {"type": "object"}


def paths(_settings: Settings) -> dict[str, Any]:
    """The operations, by path."""
    empty = {"200": {"description": "Redis has the readings"}}
    telemetry = {"anyOf": [_ANY_OBJECT, {"type": "array", "items": _ANY_OBJECT}]}
    event = parts.query("event", "The name of the event", {**_TEXT, "minLength": 1})
    choice = {"type": "string", "enum": ["dev_eui", "device_name"], "default": "dev_eui"}
    chosen = parts.query("device", "What the device is called by", choice)
    return {
        "/api/v1/{token}/telemetry": _post(
            "thingsBoardWithToken",
            _THINGSBOARD,
            telemetry,
            [parts.path("token", parts.TOKEN), _device()],
            empty,
        ),
        "/record/thingsboard": _post(
            "thingsBoard", _THINGSBOARD, telemetry, [_device(), parts.token()], empty
        ),
        "/record/ttn": _post("theThingsNetwork", _TTN, _uplink(), [parts.token()]),
        "/record/chirpstack": _post(
            "chirpStack",
            _CHIRPSTACK,
            _event(),
            [{**event, "required": True}, chosen, parts.token()],
        ),
        "/record/sensor-community": _post(
            "sensorCommunity", _SENSOR_COMMUNITY, _station(), [parts.token()]
        ),
    }


def _post(
    operation_id: str, about: str, body: Part, parameters: list[Part], ok: Part | None = None
) -> Part:
    stored = parts.ok("Recorded", "Redis has the reading") if ok is None else ok
    return {
        "post": parts.operation(
            operation_id,
            "record",
            about.partition(".")[0].partition(":")[0].replace("\n", " "),
            {**stored, **parts.errors(400, 401, 403, 413, 415, 422, 429, 503)},
            description=about,
            parameters=parameters,
            requestBody={"required": True, **parts.content(body)},
        )
    }


def _device() -> Part:
    about = "The device, unless the token is for one device"
    return parts.query("device", about, parts.schema(bodies.Device))


def _uplink() -> Part:
    gateways = {"type": "array", "items": _ANY_OBJECT}
    uplink = {
        "type": "object",
        "properties": {
            "decoded_payload": _ANY_OBJECT,
            "received_at": _TEXT,
            "rx_metadata": gateways,
        },
    }
    ids = {"type": "object", "required": ["device_id"], "properties": {"device_id": _TEXT}}
    return {
        "type": "object",
        "required": ["end_device_ids"],
        "properties": {"end_device_ids": ids, "received_at": _TEXT, "uplink_message": uplink},
    }


def _event() -> Part:
    return {
        "type": "object",
        "properties": {
            "deduplicationId": _TEXT,
            "time": _TEXT,
            "deviceInfo": {
                "type": "object",
                "properties": {"devEui": _TEXT, "deviceName": _TEXT},
            },
            "object": _ANY_OBJECT,
            "rxInfo": {"type": "array", "items": _ANY_OBJECT},
        },
    }


def _station() -> Part:
    value = {
        "type": "object",
        "required": ["value_type", "value"],
        "properties": {"value_type": _TEXT, "value": _TEXT},
    }
    return {
        "type": "object",
        "required": ["esp8266id", "sensordatavalues"],
        "properties": {
            "esp8266id": {"type": ["string", "integer"]},
            "sensordatavalues": {"type": "array", "items": value},
        },
    }
