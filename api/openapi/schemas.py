"""The schemas of requests and responses.

Those of the read API, the status and errors are generated from the types of the bodies. Bodies
whose fields are named after metrics are described here.
"""

from __future__ import annotations

from typing import Any

import msgspec

from api.exports import bodies as exports
from api.openapi import prometheus
from api.openapi.operation_parts import REF, Part, closed, ref, schema
from api.read import alert_bodies, bodies
from tributary.http.error_body import ErrorBody
from tributary.model import reading
from tributary.operate.status import Status
from tributary.settings import Settings

_DOUBLE_MAX = 1.7976931348623157e308
_COUNT = {"type": "integer", "minimum": 0}
_NUMBER = {"type": ["number", "null"]}
_GENERATED = (
    bodies.Devices,
    bodies.Fleet,
    bodies.WholeDevice,
    bodies.MetricWindow,
    bodies.History,
    bodies.RoomAverage,
    alert_bodies.Alerts,
    alert_bodies.Silences,
    exports.ExportRequest,
    exports.Exports,
    Status,
    ErrorBody,
)


def schemas(settings: Settings) -> dict[str, Part]:
    """Every schema of the document."""
    _, generated = msgspec.json.schema_components(_GENERATED, ref_template=REF)
    windows = {window.name: ref("Window") for window in settings.parsed_windows}
    generated["Metric"]["properties"]["windows"] = closed(windows)
    return {
        **_recorded(settings),
        "Collected": _collected(generated["ListedDevice"]["properties"]),
        **generated,
        **prometheus.schemas(),
        "Healthy": closed({"healthy": {"const": True}}),
        "Ready": closed({"ready": {"const": True}}),
        "NotReady": closed(
            {"ready": {"const": False}, "reasons": {"type": "array", "items": {"type": "string"}}}
        ),
    }


def _recorded(settings: Settings) -> dict[str, Part]:
    value = {"type": "number", "minimum": -_DOUBLE_MAX, "maximum": _DOUBLE_MAX}
    time = {
        "description": f"{reading.TIME_RULE}, also as text; null or absent: the time of arrival",
        "anyOf": [{"type": "string"}, {"type": "number", "minimum": 0}, {"type": "null"}],
    }
    ignored = {"type": ["string", "boolean", "null"]}
    many = {"type": "array", "minItems": 1, "maxItems": settings.batch_max_readings}
    cells = {"anyOf": [ref("Value"), ignored]}
    columns = _reading({**many, "items": ref("ReadingTime")}, {**many, "items": cells})
    return {
        "Value": {**value, "description": "A finite number"},
        "ReadingTime": time,
        "Reading": {
            **_reading(ref("ReadingTime"), {"anyOf": [ref("Value"), ignored, {"type": "object"}]}),
            "description": f"1 to {reading.METRICS_MAX} metrics of one device at one time; names "
            f"are {reading.METRIC_RULE}",
        },
        "Batch": {**many, "items": ref("Reading")},
        "Columns": {
            **columns,
            "description": "Many samples of one device: all arrays have the same length",
        },
        "Form": {
            "type": "object",
            "description": "One reading; its numbers as text",
            "properties": {"device": schema(bodies.Device)},
            "additionalProperties": {"type": "number"},
            "minProperties": 2,
        },
        **_responses(),
    }


def _responses() -> dict[str, Part]:
    return {
        "Recorded": closed(
            {"success": {"const": True}},
            accepted={**_COUNT, "description": "Number of accepted readings of a batch"},
            duplicate={"const": True, "description": "The Idempotency-Key was used before"},
            rejected={"type": "array", "maxItems": 100, "items": ref("RejectedReading")},
            ignored={
                "type": "array",
                "maxItems": 100,
                "description": "Names whose values were not numbers",
                "items": {"type": "string"},
            },
        ),
        "RejectedReading": closed(
            {
                "index": _COUNT,
                "field": {"type": ["string", "null"]},
                "code": {"type": "string", "minLength": 1},
                "message": {"type": "string"},
            }
        ),
    }


def _reading(time: Part, value: Part) -> Part:
    device = {"anyOf": [schema(bodies.Device), {"type": "integer"}]}
    return {
        "type": "object",
        "properties": {"device": device, "recorded_at": time},
        "additionalProperties": value,
        "minProperties": 1,
        "not": {"maxProperties": 2, "propertyNames": {"enum": ["device", "recorded_at"]}},
    }


def _collected(listed: dict[str, Any]) -> Part:
    null = {"type": "null"}
    return {
        "type": "object",
        "description": "`current_M` and `average_M` of each metric M",
        "properties": {
            **listed,
            **{name: {"anyOf": [listed[name], null]} for name in ("recorded_at", "age_ms")},
        },
        "required": list(listed),
        "patternProperties": {"^(current|average)_": _NUMBER},
        "additionalProperties": False,
    }
