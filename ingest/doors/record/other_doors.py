"""Recognises what belongs to another door, so that it is not stored as something else.

Only bodies that the fast parser has left are looked at. A signature is what its protocol requires
and a plain reading does not have; the module of each door names the source of its format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from tributary.errors import Refused

_OWNTRACKS_TYPES = frozenset((
    "beacon", "card", "cmd", "configuration", "dump", "encrypted", "location", "lwt", "request",
    "status", "steps", "transition", "waypoint", "waypoints",
))  # fmt: skip
_SENML = frozenset(
    ("bn", "bt", "bu", "bv", "bs", "bver", "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut")
)
_SENML_VALUES = frozenset(("v", "vs", "vb", "vd", "s"))
_ECOWITT = frozenset(("stationtype", "dateutc", "tempf", "tempinf"))
_THINGSPEAK = frozenset(f"field{n}" for n in range(1, 9))
_TORQUE_PID = re.compile("k[0-9a-f]{1,8}")
_LINE_MAX = 1_000
_PART = rb"(?:[^\s,=\\\"{\[]|\\.)++"
_LINE_PROTOCOL = re.compile(
    rb"%(part)b(?:,%(part)b=%(part)b)*+ +%(part)b="
    rb"(?:\"|(?:[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?[iu]?|[tTfF]|true|True|TRUE|false|False|FALSE)"
    rb"(?:[,\s]|$))" % {b"part": _PART}
)


class Signature(NamedTuple):
    """A sender, the door it belongs to, and what its messages have in common."""

    sender: str
    door: str
    matches: Callable[[Mapping[str, Any]], bool]


def _is_sensor_logger(value: Mapping[str, Any]) -> bool:
    payload = value.get("payload", value.get("sensors"))
    return isinstance(payload, list) and bool(value.keys() & {"messageId", "sessionId"})


def _is_telegraf(value: Mapping[str, Any]) -> bool:
    listed = value.get("metrics")
    first = listed[0] if isinstance(listed, list) and listed else value
    return (
        isinstance(first, dict)
        and isinstance(first.get("fields"), dict)
        and isinstance(first.get("name"), str)
    )


def _is_thingsboard(value: Mapping[str, Any]) -> bool:
    return value.keys() == {"ts", "values"} and isinstance(value["values"], dict)


def _is_chirpstack(value: Mapping[str, Any]) -> bool:
    info = value.get("deviceInfo")
    return isinstance(info, dict) and "devEui" in info


OBJECTS = (
    Signature("Sensor Logger", "/sensor_data", _is_sensor_logger),
    Signature("Telegraf", "/record/telegraf", _is_telegraf),
    Signature("ThingsBoard", "/record/thingsboard", _is_thingsboard),
    Signature(
        "The Things Network", "/record/ttn", lambda v: isinstance(v.get("end_device_ids"), dict)
    ),
    Signature("ChirpStack", "/record/chirpstack?event=up", _is_chirpstack),
    Signature(
        "Sensor.Community",
        "/record/sensor-community",
        lambda v: isinstance(v.get("sensordatavalues"), list),
    ),
    Signature(
        "OwnTracks",
        "/record/owntracks",
        lambda v: isinstance(v.get("_type"), str) and v["_type"] in _OWNTRACKS_TYPES,
    ),
)
FORMS = (
    Signature("Ecowitt", "/record/ecowitt", lambda v: "PASSKEY" in v and bool(v.keys() & _ECOWITT)),
    Signature(
        "Weather Underground",
        "/weatherstation/updateweatherstation.php",
        lambda v: {"ID", "PASSWORD"} <= v.keys(),
    ),
    Signature("ThingSpeak", "/update", lambda v: "api_key" in v and bool(v.keys() & _THINGSPEAK)),
    Signature(
        "Torque",
        "/record/torque",
        lambda v: {"session", "id", "time"} <= v.keys() and any(map(_TORQUE_PID.fullmatch, v)),
    ),
    Signature("OsmAnd", "/record/osmand", lambda v: {"id", "lat", "lon"} <= v.keys()),
)


def check(value: Any) -> None:
    """Raise if a JSON value is a message of another protocol, or an array of them.

    Raises:
        Refused: 422 other_door, naming the path.
    """
    first = value[0] if isinstance(value, list) and value else value
    if not isinstance(first, dict):
        return
    if first is not value and all(map(_is_senml, value)) and _has_name(first):
        _reject("SenML", "/record/senml")
    _check(first, OBJECTS)


def check_form(fields: Mapping[str, Any]) -> None:
    """Raise if the fields of a form or query string are those of another protocol.

    Raises:
        Refused: 422 other_door, naming the path.
    """
    _check(fields, FORMS)


def check_text(body: bytes) -> None:
    """Raise if a body that is not JSON is line protocol.

    Raises:
        Refused: 422 other_door, naming the path.
    """
    for line in body[:_LINE_MAX].splitlines():
        if line.strip() and not line.startswith(b"#"):
            if _LINE_PROTOCOL.match(line) is not None:
                _reject("InfluxDB line protocol", "/write or /api/v2/write")
            return


def _check(fields: Mapping[str, Any], signatures: tuple[Signature, ...]) -> None:
    for sender, door, matches in signatures:
        if matches(fields):
            _reject(sender, door)


def _is_senml(item: Any) -> bool:
    return isinstance(item, dict) and item.keys() <= _SENML and bool(item)


def _has_name(item: Mapping[str, Any]) -> bool:
    return isinstance(item.get("bn", item.get("n")), str) and (
        "bn" in item or bool(item.keys() & _SENML_VALUES)
    )


def _reject(sender: str, door: str) -> NoReturn:
    raise Refused(
        f"the request has the format of {sender}; send it to {door}",
        status=422,
        code="other_door",
    )
