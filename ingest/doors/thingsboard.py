"""ThingsBoard: the HTTP API for telemetry.

    POST /api/v1/{token}/telemetry      {"temperature":21.5}
    POST /record/thingsboard            {"ts":1763805600250,"values":{"temperature":21.5}}

The device is the one that the token is for, since ThingsBoard has a token per device. The format is
documented at https://thingsboard.io/docs/reference/http-api/.
"""

from __future__ import annotations

from typing import Any

from ingest.batch import Batch
from ingest.doors import numbers, webhook
from ingest.doors.door import Door, Mount, Request
from ingest.doors.record import item as readings
from ingest.doors.record import strict, validate
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.http.response import Response
from tributary.model.frame import Block

_DEVICE = "device=[A-Za-z0-9._:/-]{1,128}"
_TIMED = {"ts", "values"}


class ThingsBoardDoor(Door):
    """Telemetry as an object or an array, with and without times."""

    name = "thingsboard"
    has_device_of_token = True
    mounts = (
        Mount("/api/v1/{token}/telemetry", ("POST",), _DEVICE),
        Mount("/record/thingsboard", ("POST",), f"{_DEVICE}|{webhook.LANE_QUERY}"),
    )

    def parse(self, request: Request, arrived_ms: int, rules: Rules) -> Batch:
        """Convert an object to a reading, and an array to one for each of its objects."""
        device = request.query.get("device")
        if device is None:
            raise webhook.missing_device(
                "the request does not name its device; add ?device=NAME to the URL, or send a token "
                "for one device (tributary token create --device NAME)",
                "device",
            )
        given = strict.load(request.body)
        items = given if isinstance(given, list) else [given]
        rules.check_size(len(items))
        blocks = []
        for index, item in enumerate(items):
            try:
                blocks.append((index, _block(item, device, arrived_ms, rules)))
            except Refused as refusal:
                refusal.index = index if isinstance(given, list) else None
                raise
        batch = rules.collect(blocks, is_batch=isinstance(given, list))
        return webhook.for_device(device, batch, request)

    def ok(self, batch: Batch) -> Response:
        """200 and empty, as from ThingsBoard."""
        return Response(b"", 200, "text/plain")


def _block(item: Any, device: str, arrived_ms: int, rules: Rules) -> Block:
    if not isinstance(item, dict):
        raise webhook.wrong_shape(f"a JSON {validate.kind(item)} is not telemetry of ThingsBoard")
    values, time = item.get("values"), item.get("ts")
    if not isinstance(values, dict):
        name = readings.find(item, readings.TIME, "time")
        time = None if name is None else item[name]
        values = {each: value for each, value in item.items() if each != name}
    elif not item.keys() <= _TIMED:
        other = next(name for name in item if name not in _TIMED)
        raise Refused(
            f"{other!r:.80} is beside 'values'; send it in 'values'",
            status=422,
            code="ambiguous_field",
            field=other[:80],
        )
    metrics = webhook.metrics(values, keeps_reserved=True).metrics
    return numbers.reading(device, time, metrics, arrived_ms, rules)
