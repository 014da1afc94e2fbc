"""The operation of Telegraf's HTTP output."""

from __future__ import annotations

from typing import Any

from api.openapi import operation_parts as parts
from api.openapi.operation_parts import Part, ref
from tributary.settings import Settings

_ABOUT = """\
What Telegraf's output `http` sends with `data_format = "json"`: a batch of metrics, or one.
The device is the tag `device`, else `host`, else the sorted tag values joined by `/`, else `default`.
Each field that is a number is the metric `name_field`; text is skipped. The unit of a timestamp
follows from its size; without one, the time of arrival counts."""


def paths(settings: Settings) -> dict[str, Any]:
    """The operations, by path."""
    many = {"type": "array", "maxItems": settings.batch_max_readings, "items": _metric()}
    batch = {"type": "object", "required": ["metrics"], "properties": {"metrics": many}}
    operation = parts.operation(
        "telegraf",
        "record",
        "Record metrics of Telegraf",
        {
            "200": {
                "description": "Some metrics are stored, others were skipped",
                **parts.content(ref("Recorded")),
            },
            "204": {"description": "Redis has the readings"},
            **parts.errors(400, 401, 403, 413, 415, 422, 429, 503),
        },
        description=_ABOUT,
        parameters=[
            parts.query(
                "on_error",
                "`skip` stores the valid metrics of a batch and lists the others as rejected",
                {"type": "string", "enum": ["refuse", "skip"], "default": "refuse"},
            ),
            parts.token(),
        ],
        requestBody={"required": True, **parts.content({"anyOf": [batch, _metric()]})},
    )
    return {"/record/telegraf": {"post": operation}}


def _metric() -> Part:
    return {
        "type": "object",
        "required": ["name", "fields"],
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "tags": {"type": "object", "additionalProperties": {"type": "string"}},
            "fields": {
                "type": "object",
                "additionalProperties": {"type": ["number", "string", "boolean"]},
            },
            "timestamp": {"type": ["number", "null"]},
        },
    }
