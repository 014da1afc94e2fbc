"""ThingSpeak: the update of a channel.

    GET  /update?api_key=TOKEN&field1=21.5&field2=40
    POST /update    api_key=TOKEN&field1=21.5    or the same as JSON

The device is the one that the token is for, since a channel has a key of its own; else `device`.
The API is documented at https://www.mathworks.com/help/thingspeak/writedata.html.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ingest.batch import Batch
from ingest.doors import fields, numbers
from ingest.doors.door import Door, Mount, Request
from ingest.doors.record import json_text, validate
from ingest.limits import Rules
from tributary.auth import tokens
from tributary.errors import Refused
from tributary.http.response import Response
from tributary.model import reading

_METHODS = ("GET", "POST")
_KEY_HEADERS = ("THINGSPEAKAPIKEY", "X-THINGSPEAKAPIKEY")
_TEXT = "text/plain; charset=utf-8"
_FIELD = re.compile("field[1-8]")
# By field: metric and unit.
_PLACES = {
    "lat": ("lat", "deg"), "latitude": ("lat", "deg"), "long": ("lon", "deg"),
    "longitude": ("lon", "deg"), "elevation": ("altitude", "m"),
}  # fmt: skip
_SPACED = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d+)?) ?([+-]\d\d):?(\d\d)", re.ASCII
)
_UTC = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) (?:UTC|Z)", re.ASCII)


class ThingSpeakDoor(Door):
    """An update as fields or as JSON."""

    name = "thingspeak"
    secret_in_body = True
    has_device_of_token = True
    mounts = (Mount("/update", _METHODS, fields.LANE_QUERY),)

    def secret(self, request: Request) -> str:
        """`api_key`, a header field for it, `token`, or the Authorization header."""
        given = next(filter(None, map(request.head.field, _KEY_HEADERS)), None)
        given = given or request.query.get("api_key") or request.query.get("token")
        if not given and request.body.strip() and not request.head.authorization:
            given = _given(request).get("api_key")
            if given and not isinstance(given, str):
                raise tokens.unauthorized("api_key is not a text")
        return given or tokens.secret_of(request.head.authorization)

    def parse(self, request: Request, arrived_ms: int, rules: Rules) -> Batch:
        """Convert an update to a reading of the channel."""
        given = _given(request)
        device = fields.device({"device": reading.DEFAULT_DEVICE, **given}, "device")
        metrics = fields.Metrics(rules)
        for name, value in given.items():
            metric, unit = _PLACES.get(name, (name, ""))
            number = numbers.of(value)
            if number is not None and (unit or _FIELD.fullmatch(name)):
                metrics.add(name, metric, number, unit)
        created_at = {"created_at": _with_zone(given.get("created_at"))}
        time_ms = fields.time_ms(created_at, "created_at", arrived_ms, rules)
        return metrics.batch(device, time_ms, request)

    def ok(self, batch: Batch) -> Response:
        """The number of entries that were stored, where ThingSpeak has the number of the entry."""
        return Response(b"%d" % batch.readings, content_type=_TEXT)

    def duplicate(self, body: bytes) -> Response:
        """The first response again."""
        return Response(body, content_type=_TEXT)


def _given(request: Request) -> Mapping[str, Any]:
    """The fields of the query string and of a body, which is a form or JSON."""
    if request.body.lstrip()[:1] not in (b"{", b"["):
        return fields.of(request)
    item = json_text.load(request.body)
    if not isinstance(item, dict):
        raise Refused(
            f"a JSON {validate.kind(item)} is not an update; send an object with field1 to field8",
            status=400,
            code="wrong_shape",
        )
    return {**request.query, **item}


def _with_zone(given: Any) -> Any:
    """`created_at` in RFC 3339; sent also with a space before the time or the zone."""
    if not isinstance(given, str):
        return given
    return _UTC.sub(r"\1T\2Z", _SPACED.sub(r"\1T\2\3:\4", given))
