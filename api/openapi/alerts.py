"""The operation of the list of alerts."""

from __future__ import annotations

from api.openapi import operation_parts as parts
from api.openapi.operation_parts import Part, query, schema
from api.read import bodies
from api.read.alert_handlers import LIMIT_DEFAULT, LIMIT_MAX, STATES

_DESCRIPTION = """\
The rules are in the catalogue of metrics; one that is not in the list is ok. `since` is the event
time of the reading with which the state began, and `value` its value; of a rule on silence, the
time at which the series became stale, and its last value; of `rate_above`, `value` is the rate per
second.

A page has at least `limit` alerts if there are as many, the latest first. An alert that changes
while pages are read may be missing, or on two pages."""


def operation() -> Part:
    """`GET /api/v1/alerts`."""
    limit = {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}
    place = {"type": "string", "pattern": "^[0-9]{1,4}-[0-9]{1,20}$"}
    return parts.operation(
        "listAlerts",
        "collect",
        "Alerts that are pending or firing",
        {**parts.ok("Alerts", "A page"), **parts.errors(400, 401, 403, 404, 503)},
        description=_DESCRIPTION,
        parameters=[
            query("state", "Only alerts in this state", {"type": "string", "enum": [*STATES]}),
            query("device", "Only those of this device, on one page", schema(bodies.Device)),
            query("after", "The `next` of the page before", place),
            query("limit", "How many alerts to return at least, if there are as many", limit),
        ],
    )
