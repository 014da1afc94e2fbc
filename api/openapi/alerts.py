"""The operations of alerts and silences."""

from __future__ import annotations

from api.openapi import operation_parts as parts
from api.openapi.operation_parts import Part, content, query, ref, schema
from api.read import alert_bodies, bodies
from api.read.alert_handlers import LIMIT_DEFAULT, LIMIT_MAX, STATES

_DESCRIPTION = """\
The rules are in the catalogue of metrics; one that is not in the list is ok. `since` is the event
time of the reading with which the state began, and `value` its value; of a rule on silence, the
time at which the series became stale, and its last value; of `rate_above`, `value` is the rate per
second.

A page has at least `limit` alerts if there are as many, the latest first. An alert that changes
while pages are read may be missing, or on two pages."""

_SILENCE = """\
The transitions of the rule are still logged and listed, but neither delivered nor delivered
afterwards. A silence that exists gets the new time. Needs the scope `operate`."""


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


def silences() -> dict[str, Part]:
    """The methods of `/api/v1/alerts/silences`."""
    names = {"device": bodies.Device, "metric": bodies.MetricName, "rule": alert_bodies.RuleName}
    return {
        "get": parts.operation(
            "listSilences",
            "collect",
            "Rules that are silenced for a device",
            {**parts.ok("Silences", "Those that have not ended"), **parts.errors(401, 403, 503)},
        ),
        "post": parts.operation(
            "silenceAlert",
            "collect",
            "Silence a rule for a device until a time",
            {**parts.ok("Silence", "It is silenced"), **_errors(413, 422)},
            description=_SILENCE,
            requestBody={"required": True, **content(ref("Silence"))},
        ),
        "delete": parts.operation(
            "endSilence",
            "collect",
            "End a silence",
            {"204": {"description": "It has ended"}, **_errors()},
            description="Needs the scope `operate`.",
            parameters=[
                {**query(name, f"The {name}", schema(type_)), "required": True}
                for name, type_ in names.items()
            ],
        ),
    }


def _errors(*more: int) -> Part:
    return parts.errors(400, 401, 403, 404, *more, 503)
