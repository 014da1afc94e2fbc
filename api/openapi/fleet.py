"""The operation of the filtered list of devices."""

from __future__ import annotations

from api.openapi import operation_parts as parts
from api.openapi.operation_parts import Part, query
from api.read.fleet_snapshot import BY_AGE, BY_NAME, STATES
from api.read.parameters import BY_METRIC, FLEET_DEFAULT, FLEET_MAX, OFFSET_MAX
from tributary.model import reading

_TEXT = {"type": "string"}
_DESCRIPTION = """\
Which devices there are, and their order, comes from a snapshot of all devices that is some seconds
old: at least one second, and ten times as long as it takes to read. The values are current.

Names are sorted by the numbers in them: `car-9` before `car-10`. Devices without the metric that is
sorted by come last."""


def operation() -> Part:
    """`GET /api/v1/fleet`."""
    by = f"^({BY_NAME}|{BY_AGE}|{BY_METRIC}{reading.METRIC_PATTERN})$"
    number = {"type": "integer", "minimum": 0, "maximum": OFFSET_MAX, "default": 0}
    limit = {"type": "integer", "minimum": 1, "maximum": FLEET_MAX, "default": FLEET_DEFAULT}
    return parts.operation(
        "listFleet",
        "collect",
        "Devices with their current values, filtered and sorted",
        {**parts.ok("Fleet", "A page"), **parts.errors(400, 401, 403, 422, 503)},
        description=_DESCRIPTION,
        parameters=[
            query(
                "search",
                "Part of the name, in upper or lower case",
                {**_TEXT, "maxLength": reading.DEVICE_MAX},
            ),
            query(
                "state",
                "Only devices in this state",
                {**_TEXT, "enum": [*STATES], "default": STATES[0]},
            ),
            query(
                "sort",
                "The name, the age, or a metric",
                {**_TEXT, "pattern": by, "default": BY_NAME},
            ),
            query(
                "order",
                "Smallest or greatest first",
                {**_TEXT, "enum": ["asc", "desc"], "default": "asc"},
            ),
            query("offset", "Skip this number of devices", number),
            query("limit", "Maximum number of devices in the page", limit),
        ],
    )
