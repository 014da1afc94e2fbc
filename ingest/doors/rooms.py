"""Temperatures of the rooms of buildings.

    POST /api/v1/buildings/{building}/rooms/{room}/temperatures
         {"temperature":10.5,"recorded_at":"2024-12-10T16:45:00"}

The device is `building/room`. A time without a zone is UTC here and at no other door, because the
original clients of this API send none. `api/read` returns the average.
"""

from __future__ import annotations

import re
from typing import Any

from ingest.batch import Batch
from ingest.doors import numbers, webhook
from ingest.doors.door import Door, Mount, Request
from ingest.doors.record import item as readings
from ingest.doors.record import responses, strict, validate
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.http.response import Response

_METRIC = "temperature"
_NAIVE = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d(?:\.\d+)?)?", re.ASCII)
_CREATED = 201


class RoomsDoor(Door):
    """One temperature per request."""

    name = "rooms"
    mounts = (
        Mount(
            "/api/v1/buildings/{building}/rooms/{room}/temperatures",
            ("POST",),
            "token=[A-Za-z0-9_-]{1,100}",
        ),
    )
    duplicate = staticmethod(responses.duplicate)

    def parse(self, request: Request, arrived_ms: int, rules: Rules) -> Batch:
        """Convert a temperature to a reading of the room."""
        item = strict.load(request.body)
        if not isinstance(item, dict):
            raise _no_temperature(400, "wrong_shape")
        if _METRIC not in item:
            raise _no_temperature(422, "no_metrics")
        device = f"{request.query['building']}/{request.query['room']}"
        value = numbers.of(item[_METRIC])
        if value is None:
            value = validate.number(_METRIC, item[_METRIC], rules)  # raises
        name = readings.find(item, readings.TIME, "time")
        time = None if name is None else _with_zone(item[name])
        block = numbers.reading(device, time, {_METRIC: value}, arrived_ms, rules)
        batch = rules.collect([(0, block)], is_batch=False)
        batch.ignored = webhook.names(each for each in item if each not in (_METRIC, name))
        return webhook.for_device(device, batch, request)

    def ok(self, batch: Batch) -> Response:
        """201, since each temperature is a new resource in this API."""
        return responses.ok(batch)._replace(status=_CREATED)


def _no_temperature(status: int, code: str) -> Refused:
    return Refused(
        'the body contains no temperature; send {"temperature": 21.5, "recorded_at": …}',
        status=status,
        code=code,
    )


def _with_zone(given: Any) -> Any:
    """A time as sent, with the zone Z if it has none."""
    naive = _NAIVE.fullmatch(given) if isinstance(given, str) else None
    return given if naive is None else f"{naive[1]}T{naive[2]}{naive[3] or ':00'}Z"
