"""Positions as OsmAnd and Traccar Client send them.

    GET|POST /record/osmand?id=phone&lat=51.5&lon=-0.12&timestamp=1764084121&speed=10&batt=80
    POST     /record/osmand    {"location":{"timestamp":"…","coords":{…},"battery":{…}},"device_id":"phone"}

Fields and body are those of https://www.traccar.org/osmand/. The speed of a field is in knots unless
`speed_unit` has another unit: the app OsmAnd sends m/s. The speed in a JSON body is in m/s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from ingest.batch import Batch
from ingest.doors import fields, numbers
from ingest.doors.door import Door, Mount, Request
from ingest.doors.record import json_text, responses
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.model import units

_METHODS = ("GET", "POST")
_NOT_MEASURED = frozenset(("id", "deviceid", "timestamp", "speed_unit", "location", "token"))
# By field: metric and unit.
_FIELDS = {
    "lat": ("lat", "deg"), "lon": ("lon", "deg"), "altitude": ("altitude", "m"),
    "accuracy": ("accuracy", "m"), "batt": ("batt", "%"), "bearing": ("bearing", "deg"),
    "heading": ("bearing", "deg"),
}  # fmt: skip
_COORDS = {
    "latitude": ("lat", "deg"), "longitude": ("lon", "deg"), "altitude": ("altitude", "m"),
    "accuracy": ("accuracy", "m"), "heading": ("bearing", "deg"), "speed": ("speed", "m/s"),
}  # fmt: skip
_UNKNOWN_IF_NEGATIVE = frozenset(("accuracy", "heading", "speed"))
_BOOLEANS = {"true": 1.0, "false": 0.0}


class OsmAndDoor(Door):
    """A position as fields, or one or several as JSON."""

    name = "osmand"
    mounts = (Mount("/record/osmand", _METHODS, fields.LANE_QUERY),)
    ok = staticmethod(responses.ok)
    duplicate = staticmethod(responses.duplicate)

    def parse(self, request: Request, arrived_ms: int, rules: Rules) -> Batch:
        """Convert positions to readings of the phone."""
        if request.body.lstrip()[:1] in (b"{", b"["):
            return _from_json(request, arrived_ms, rules)
        given = fields.of(request)
        device = fields.device(given, "id", "deviceid")
        metrics = fields.Metrics(rules)
        _add_location(given, metrics)
        for name, text in given.items():
            value = numbers.of(_BOOLEANS.get(text, text))
            if name in _NOT_MEASURED:
                continue
            if value is None:
                metrics.ignored.add([name])
            elif name == "speed":
                metrics.add(name, "speed", value, _speed_unit(given))
            else:
                metric, unit = _FIELDS.get(name, (numbers.metric_name(name), ""))
                metrics.add(name, metric, value, unit)
        time_ms = fields.time_ms(given, "timestamp", arrived_ms, rules)
        return metrics.batch(device, time_ms, request)


def _add_location(given: Mapping[str, str], metrics: fields.Metrics) -> None:
    """Add `location`, which is `lat,lon`."""
    if "location" not in given:
        return
    parts = [numbers.of(part) for part in given["location"].split(",")]
    if len(parts) != 2 or None in parts:
        raise Refused(
            f"location {given['location']!r:.60} is not latitude and longitude; send lat and lon",
            status=422,
            code="invalid_location",
            field="location",
        )
    for metric, value in zip(("lat", "lon"), parts, strict=True):
        metrics.add("location", metric, value or 0.0, "deg")


def _speed_unit(given: Mapping[str, str]) -> str:
    named = given.get("speed_unit", "kn")
    unit = units.parse(named)
    if unit is None or units.conversion(unit, "km/h") is None:
        raise Refused(
            f"speed_unit {named!r:.40} is not a unit of speed; send kn, m/s, km/h or mph",
            status=422,
            code="invalid_unit",
            field="speed_unit",
        )
    return unit


def _from_json(request: Request, arrived_ms: int, rules: Rules) -> Batch:
    """The positions of a JSON body of Traccar Client."""
    item = json_text.load(request.body)
    if not isinstance(item, dict) or "location" not in item:
        _reject_shape("there is no 'location' in the body")
    device = fields.device({**request.query, **item}, "device_id", "id", "deviceid")
    listed = item["location"] if isinstance(item["location"], list) else [item["location"]]
    rules.check_size(len(listed))
    batch = fields.collect([_position(each, device, arrived_ms, rules) for each in listed], rules)
    batch.is_batch = isinstance(item["location"], list)
    return fields.identified(batch, device, request)


def _position(
    location: Any, device: str, arrived_ms: int, rules: Rules
) -> tuple[str, int, fields.Metrics]:
    coords = location.get("coords") if isinstance(location, dict) else None
    if not isinstance(coords, dict):
        _reject_shape("a location is an object with 'coords'")
    metrics = fields.Metrics(rules)
    for name, (metric, unit) in _COORDS.items():
        value = numbers.of(coords.get(name))
        if value is not None and not (value < 0 and name in _UNKNOWN_IF_NEGATIVE):
            metrics.add(name, metric, value, unit)
    battery = location.get("battery")
    if isinstance(battery, dict):
        level = numbers.of(battery.get("level"))
        if level is not None and level >= 0:  # -1: unknown
            metrics.add("level", "batt", level, "1")
        if isinstance(battery.get("is_charging"), bool):
            metrics.add("is_charging", "charge", float(battery["is_charging"]))
    return device, fields.time_ms(location, "timestamp", arrived_ms, rules), metrics


def _reject_shape(problem: str) -> NoReturn:
    raise Refused(
        f'{problem}; send {{"location":{{"timestamp":…,"coords":{{"latitude":…,"longitude":…}}}},'
        '"device_id":…}, or the fields id, lat, lon and timestamp',
        status=400,
        code="wrong_shape",
    )
