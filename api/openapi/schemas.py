"""The shapes of what goes in and out."""

from __future__ import annotations

from api.openapi import status
from api.openapi.parts import Part, ref, whole
from api.read.units import UNITS
from tributary.model import reading
from tributary.settings import Settings

_DOUBLE_MAX = 1.7976931348623157e308
_COUNT = {"type": "integer", "minimum": 0}
_TIME = ref("Time")
_TIME_OR_NULL = {"oneOf": [ref("Time"), {"type": "null"}]}
_NUMBER = {"type": ["number", "null"]}
_TEXT = {"type": ["string", "null"]}
_FLAG = {"type": "boolean"}
_STATISTICS = {"count": _COUNT, "mean": _NUMBER, "stddev": _NUMBER, "min": _NUMBER, "max": _NUMBER}
_COVERED = {**_STATISTICS, "from": _TIME, "to": _TIME}
_AGE = {"recorded_at": _TIME, "age_ms": ref("Age"), "stale": _FLAG}
_OF_METRIC = {
    "device": ref("Device"),
    "metric": ref("MetricName"),
    "window": ref("Duration"),
    "unit": _TEXT,
    "description": _TEXT,
}


def schemas(settings: Settings) -> dict[str, Part]:
    """Every schema of the document."""
    return {
        **_names(),
        **_recorded(settings),
        **_collected(settings),
        **_operated(),
        **status.schemas(),
    }


def _names() -> dict[str, Part]:
    return {
        "Device": {
            "type": "string",
            "pattern": f"^{reading.DEVICE_PATTERN}$",
            "description": reading.DEVICE_RULE,
        },
        "MetricName": {
            "type": "string",
            "pattern": f"^{reading.METRIC_PATTERN}$",
            "not": {"enum": sorted(reading.RESERVED)},
            "description": reading.METRIC_RULE,
        },
        "MetricNames": {
            "type": "string",
            "pattern": f"^{reading.METRIC_PATTERN}(,{reading.METRIC_PATTERN}){{0,7}}$",
            "description": f"Names with commas between them, at most {reading.METRICS_MAX}",
        },
        "Units": {
            "type": "string",
            "pattern": _units_pattern(),
            "description": "A unit of temperature or speed, or one of each with a comma between",
        },
        "Duration": {
            "type": "string",
            "pattern": "^[1-9][0-9]{0,8}[smhd]$",
            "description": "A whole number of seconds, minutes, hours or days",
        },
        "Time": {
            "type": "string",
            "format": "date-time",
            "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z$",
        },
        "Age": {**_COUNT, "description": "Milliseconds since its reading was recorded"},
    }


def _units_pattern() -> str:
    kinds: dict[str, list[str]] = {}
    for name, unit in UNITS.items():
        kinds.setdefault(unit.kind, []).append(name)
    temperatures, speeds = ("|".join(names) for names in kinds.values())
    return f"^(({temperatures})(,({speeds}))?|({speeds})(,({temperatures}))?)$"


def _recorded(settings: Settings) -> dict[str, Part]:
    value = {"type": "number", "minimum": -_DOUBLE_MAX, "maximum": _DOUBLE_MAX}
    moment = {
        "description": f"{reading.TIME_RULE}; without it, the time of arrival",
        "oneOf": [
            {"type": "string", "format": "date-time"},
            {"type": "number", "minimum": 0},
        ],
    }
    many = {"type": "array", "minItems": 1, "maxItems": settings.batch_max_readings}
    named = {"propertyNames": {"pattern": f"^{reading.METRIC_PATTERN}$"}}
    return {
        "Value": {**value, "description": "A finite number"},
        "Moment": moment,
        "Reading": {
            **_record(named, {"recorded_at": ref("Moment")}, ref("Value")),
            "description": f"1 to {reading.METRICS_MAX} metrics of one device at one moment",
        },
        "Batch": {**many, "items": ref("Reading")},
        "Columns": {
            **_record(
                named,
                {"recorded_at": {**many, "items": ref("Moment")}},
                {**many, "items": ref("Value")},
            ),
            "description": "Many samples of one device: every array has the same length",
        },
        "Recorded": whole(
            {"success": {"const": True}},
            accepted={**_COUNT, "description": "How many readings a batch brought"},
            duplicate={"const": True, "description": "The Idempotency-Key was known already"},
            rejected={"type": "array", "maxItems": 100, "items": ref("Rejected")},
        ),
        "Rejected": whole(
            {"index": _COUNT, "field": _TEXT, "code": ref("Code"), "message": {"type": "string"}}
        ),
    }


def _record(named: Part, times: Part, values: Part) -> Part:
    return {
        "type": "object",
        **named,
        "properties": {"device": ref("Device"), **times},
        "additionalProperties": values,
        "minProperties": 1,
        "maxProperties": reading.METRICS_MAX,
        "not": {"maxProperties": 2, "propertyNames": {"enum": ["device", "recorded_at"]}},
    }


def _collected(settings: Settings) -> dict[str, Part]:
    head = {"device": ref("Device"), **_AGE}
    listed = {"type": "array", "items": ref("ListedDevice")}
    metrics = {"type": "object", "additionalProperties": ref("Metric")}
    return {
        "Collected": {
            "type": "object",
            "description": "`current_M` and `average_M` of each metric M",
            "properties": {
                **head,
                "recorded_at": _TIME_OR_NULL,
                "age_ms": {"type": ["integer", "null"], "minimum": 0},
            },
            "required": list(head),
            "patternProperties": {"^(current|average)_": _NUMBER},
            "additionalProperties": False,
        },
        "ListedDevice": whole(head),
        "Devices": whole({"devices": listed, "next": _TEXT}),
        "WholeDevice": whole({**head, "metrics": metrics}),
        **_measured(settings),
    }


def _measured(settings: Settings) -> dict[str, Part]:
    windows = {window.name: ref("Window") for window in settings.parsed_windows}
    slot = {"from": _TIME, **{k: v for k, v in _STATISTICS.items() if k != "stddev"}}
    return {
        "Metric": whole(
            {
                "current": _NUMBER,
                "average": _NUMBER,
                **_AGE,
                "plausible": {
                    "type": ["boolean", "null"],
                    "description": "Whether current lies in the plausible range, if there is one",
                },
                "unit": _TEXT,
                "description": _TEXT,
                "total": ref("Statistics"),
                "windows": whole(windows),
            }
        ),
        "Statistics": whole(_STATISTICS),
        "Window": whole(_COVERED),
        "MetricWindow": whole({**_OF_METRIC, **_COVERED}),
        "History": whole(
            {**_OF_METRIC, "slot_ms": _COUNT, "slots": {"type": "array", "items": whole(slot)}}
        ),
    }


def _operated() -> dict[str, Part]:
    error = whole(
        {"code": ref("Code"), "message": {"type": "string", "minLength": 1}},
        field={"type": "string", "description": "The name at fault"},
        index={**_COUNT, "description": "The reading at fault, counted from 0"},
    )
    return {
        "Code": {"type": "string", "minLength": 1},
        "Error": whole({"success": {"const": False}, "error": error}),
        "Healthy": whole({"healthy": {"const": True}}),
        "Ready": whole({"ready": {"const": True}}),
        "NotReady": whole(
            {"ready": {"const": False}, "reasons": {"type": "array", "items": {"type": "string"}}}
        ),
    }
