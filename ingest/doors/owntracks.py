"""OwnTracks, the location app, in its HTTP mode.

    POST /record/owntracks    X-Limit-U: jane    X-Limit-D: phone
         {"_type":"location","tst":1764084121,"lat":51.5,"lon":-0.12,"acc":12,"batt":80,"vel":40}

The app repeats a message until it is accepted, so what is not a location is accepted and not stored.
The format is documented at https://owntracks.org/booklet/tech/json/ and …/tech/http/.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ingest.batch import Batch
from ingest.doors import fields, numbers
from ingest.doors.door import Door, Mount, Request
from ingest.doors.record import json_text, validate
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.http.response import Response

_NOTHING_TO_SEND = Response(b"[]")  # the messages that the app should process
_TOPIC_PARTS = ("owntracks", "user", "device")
# By member: metric and unit.
_MEMBERS = {
    "lat": ("lat", "deg"), "lon": ("lon", "deg"), "acc": ("acc", "m"), "alt": ("alt", "m"),
    "vac": ("vac", "m"), "vel": ("vel", "km/h"), "cog": ("cog", "deg"), "batt": ("batt", "%"),
    "p": ("absolute_pressure", "kPa"),
}  # fmt: skip
_UNKNOWN_IF_NEGATIVE = frozenset(("acc", "vac", "vel", "cog", "batt"))


class OwnTracksDoor(Door):
    """One message per request."""

    name = "owntracks"
    mounts = (Mount("/record/owntracks", ("POST",), fields.LANE_QUERY),)

    def parse(self, request: Request, arrived_ms: int, rules: Rules) -> Batch:
        """Convert a location to a reading of `user/device`."""
        if not request.body.strip():
            return Batch({}, 0, is_batch=False)
        item = json_text.load(request.body)
        if not isinstance(item, dict) or not isinstance(item.get("_type"), str):
            raise Refused(
                f"a JSON {validate.kind(item)} without '_type' is not a message of OwnTracks",
                status=400,
                code="wrong_shape",
            )
        if item["_type"] != "location":
            return Batch({}, 0, is_batch=False)
        device = _device(item, request)
        metrics = fields.Metrics(rules)
        for name, (metric, unit) in _MEMBERS.items():
            value = numbers.of(item.get(name))
            if value is not None and not (value < 0 and name in _UNKNOWN_IF_NEGATIVE):
                metrics.add(name, metric, value, unit)
        time_ms = fields.time_ms(item, "tst", arrived_ms, rules)
        return metrics.batch(device, time_ms, request)

    def ok(self, batch: Batch) -> Response:
        """An empty list."""
        return _NOTHING_TO_SEND

    def duplicate(self, body: bytes) -> Response:
        """The same for a retry."""
        return _NOTHING_TO_SEND


def _device(item: Mapping[str, Any], request: Request) -> str:
    """User and device of the header fields, the parameters `u` and `d`, or the topic."""
    user = request.head.field("X-Limit-U") or request.query.get("u")
    device = request.head.field("X-Limit-D") or request.query.get("d")
    if user and device:
        return f"{user}/{device}"
    topic = item.get("topic")
    parts = topic.split("/") if isinstance(topic, str) else []
    if len(parts) == len(_TOPIC_PARTS) and parts[0] == _TOPIC_PARTS[0] and all(parts):
        return "/".join(parts[1:])
    raise Refused(
        "the message has no device: neither X-Limit-U and X-Limit-D nor a topic "
        "owntracks/user/device; set user name and device ID in the app",
        status=422,
        code="missing_device",
        field="topic",
    )
