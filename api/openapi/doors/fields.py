"""The operations of doors whose clients send fields, as a form or in the query string."""

from __future__ import annotations

from typing import Any, NamedTuple

from api.openapi import operation_parts as parts
from api.openapi.operation_parts import Part
from tributary.model import reading
from tributary.settings import Settings

FORM = "application/x-www-form-urlencoded"
_TEXT: Part = {"type": "string"}
_DEVICE: Part = {
    "type": "string",
    "pattern": f"^{reading.DEVICE_PATTERN}$",
    "not": {"enum": sorted(reading.NOT_DEVICES)},
}
_NUMBER: Part = {"type": "number"}
_RECORDED = ("application/json", parts.ref("Recorded"))


class Fields(NamedTuple):
    """A path, its methods with their operation ids, and what its clients send."""

    path: str
    operations: dict[str, str]  # by method
    summary: str
    description: str
    fields: dict[str, tuple[str, Part]]  # name → description, schema
    required: tuple[str, ...]
    ok: tuple[str, Part] = _RECORDED  # content type and schema of the response
    credential: str = "token"  # the field of the token


_STATION = """\
What a weather station uploads, in US units, which are converted to those of the catalogue:
`tempf` becomes `temperature` in degC, `baromrelin` `pressure` in hPa, `windspeedmph` `wind_speed`
in m/s, `rainratein` `rain_rate` in mm/h. Numbers with an unknown unit, and -9999, are not stored."""
_THINGSPEAK = """\
`field1` to `field8` become the metrics of these names, `lat`, `long` and `elevation` a position.
The device is the one that the token is for, else `device`. A POST may have the fields as JSON.
The response body is the number of readings stored; entries are not numbered."""
_TORQUE = """\
Each `k` with the hexadecimal number of a PID becomes a metric of this name; `k5`, `kc` and `kd` become
`engine_temperature`, `engine_rpm` and `speed`. A request without any stores nothing."""
_OSMAND = """\
`lat`, `lon`, `altitude`, `batt`, `bearing` and any other number; `speed` is in knots unless
`speed_unit` has another unit, and is converted. A POST may be the JSON body of Traccar Client."""
_MEASURED = {
    "dateutc": ("UTC, `2025-11-25 15:22:01` or `now`; without it, the time of arrival", _TEXT),
    "tempf": ("Temperature in °F", _NUMBER),
    "humidity": ("Relative humidity in %", _NUMBER),
    "windspeedmph": ("Wind in mph", _NUMBER),
}
_ECOWITT = {"PASSKEY": ("The device", _DEVICE), **_MEASURED, "baromrelin": ("inHg", _NUMBER)}

_ALL = (
    Fields(
        "/record/ecowitt",
        {"post": "recordEcowitt", "get": "recordEcowittByGet"},
        "Record an upload of Ecowitt",
        _STATION,
        _ECOWITT,
        ("PASSKEY",),
    ),
    Fields(
        "/data/report/",
        {"post": "reportEcowitt", "get": "reportAmbient"},
        "Record an upload of Ecowitt or Ambient, at the path that their consoles suggest",
        _STATION,
        _ECOWITT,
        ("PASSKEY",),
    ),
    Fields(
        "/weatherstation/updateweatherstation.php",
        {"get": "recordWeatherUnderground"},
        "Record an upload in the protocol of Weather Underground",
        _STATION,
        {"ID": ("The device", _DEVICE), **_MEASURED, "baromin": ("Pressure in inHg", _NUMBER)},
        ("ID",),
        ("text/plain", {"const": "success"}),
        "PASSWORD",
    ),
    Fields(
        "/update",
        {"get": "updateThingSpeak", "post": "updateThingSpeakByPost"},
        "Record an update of a ThingSpeak channel",
        _THINGSPEAK,
        {
            "field1": ("A number; field2 to field8 likewise", _NUMBER),
            "created_at": ("Time with a zone; without it, the time of arrival", _TEXT),
            "lat": ("Latitude", _NUMBER),
            "long": ("Longitude", _NUMBER),
            "elevation": ("Metres above sea level", _NUMBER),
            "device": ("The device, if the token is not for one device", _DEVICE),
        },
        (),
        ("text/plain", {"type": "string", "pattern": "^[1-9][0-9]*$"}),
        "api_key",
    ),
    Fields(
        "/record/torque",
        {"get": "recordTorque"},
        "Record an upload of the app Torque Pro",
        _TORQUE,
        {
            "id": ("The device", _DEVICE),
            "time": ("Milliseconds since 1970, UTC", {"type": "integer"}),
            "k5": ("Temperature of the engine in °C", _NUMBER),
            "kc": ("Revolutions of the engine per minute", _NUMBER),
            "kd": ("Speed in km/h", _NUMBER),
        },
        ("id",),
        ("text/plain", {"const": "OK!"}),
    ),
    Fields(
        "/record/osmand",
        {"get": "recordOsmAnd", "post": "recordOsmAndByPost"},
        "Record a position of OsmAnd or Traccar Client",
        _OSMAND,
        {
            "id": ("The device", _DEVICE),
            "timestamp": ("Seconds or milliseconds since 1970, or RFC 3339", _TEXT),
            "lat": ("Latitude", _NUMBER),
            "lon": ("Longitude", _NUMBER),
            "speed": ("Speed in `speed_unit`", _NUMBER),
            "speed_unit": ("Unit of the speed", {"type": "string", "default": "kn"}),
            "altitude": ("Metres above sea level", _NUMBER),
            "bearing": ("Degrees from north", _NUMBER),
            "batt": ("Charge of the battery in %", _NUMBER),
        },
        ("id",),
    ),
)


def paths(_settings: Settings) -> dict[str, Any]:
    """The operations, by path."""
    return {
        each.path: {
            method: _operation(each, method, name) for method, name in each.operations.items()
        }
        for each in _ALL
    }


def _operation(of: Fields, method: str, operation_id: str) -> Part:
    token = parts.query(of.credential, "The token, if one is required", parts.TOKEN)
    type_, schema = of.ok
    form = {
        "type": "object",
        "required": [*of.required],
        "properties": {name: {**s, "description": about} for name, (about, s) in of.fields.items()},
    }
    body: Part = {"required": True, **parts.content(form, FORM)}
    more: Part = {"parameters": [token], "requestBody": body}
    if method == "get":
        more = {"parameters": [*_query(of), token]}
    return parts.operation(
        operation_id,
        "record",
        of.summary,
        {
            "200": parts.response("Redis has the reading", schema, type_),
            **parts.errors(400, 401, 403, 413, 415, 422, 429, 503),
        },
        description=of.description,
        **more,
    )


def _query(of: Fields) -> list[Part]:
    return [
        parts.query(name, about, schema) | {"required": name in of.required}
        for name, (about, schema) in of.fields.items()
    ]
