"""The operations of InfluxDB clients."""

from __future__ import annotations

from typing import Any

from api.openapi import operation_parts as parts
from api.openapi.operation_parts import Part
from tributary.settings import Settings

TEXT = "text/plain"
FORM = "application/x-www-form-urlencoded"
_TEXT = {"type": "string"}
_VERSION = {
    "X-Influxdb-Version": {"description": "The version spoken", "schema": _TEXT},
    "X-Influxdb-Build": {"schema": _TEXT},
}
_WRITE = """\
Line protocol: `measurement,tag=value field=number timestamp`, a line per reading.
The device is the tag `device`, else `host`, else the sorted tag values joined by `/`, else `default`.
Each field that is a number or boolean is the metric `measurement_field`; text is skipped.
The token may also be the password of Basic authorization, or the parameter `p`."""
_DATABASE = "The name of a database selects nothing"
_V1 = f"{_WRITE}\n{_DATABASE}, but is required. Good lines are stored even if others are not."
_V2 = f"{_WRITE}\nNames of organisation and bucket select nothing. A bad line rejects the request."
_V3 = f"{_WRITE}\n{_DATABASE}. Good lines are stored unless `accept_partial=false`."
_WRITE_ERRORS = (400, 401, 403, 413, 415, 503)


def paths(_settings: Settings) -> dict[str, Any]:
    """The operations, by path."""
    v1 = {"error": _TEXT}
    v2 = {"code": _TEXT, "message": _TEXT}
    failed = parts.closed(
        {"original_line": _TEXT, "line_number": {"type": "integer"}, "error_message": _TEXT}
    )
    data = {"anyOf": [failed, {"type": "array", "items": failed}]}
    return {
        "/write": {"post": _write("1", _V1, _v1_parameters(), parts.closed(v1))},
        "/api/v2/write": {
            "post": _write(
                "2", _V2, _v2_parameters(), parts.closed(v2, line={"type": "integer"}), 422, 429
            )
        },
        "/api/v3/write_lp": {
            "post": _write("3", _V3, _v3_parameters(), parts.closed(v1, data=data), 422, 429)
        },
        "/ping": {"get": _ping("influxPing"), "head": _ping("influxPingHead")},
        "/query": {"get": _query("influxQuery"), "post": _query("influxQueryByPost")},
    }


def _write(version: str, about: str, parameters: list[Part], error: Part, *more: int) -> Part:
    return parts.operation(
        f"influxWrite{version}",
        "record",
        f"Record line protocol as InfluxDB {version}.x does",
        {"204": _stored(), **_errors(error, *_WRITE_ERRORS, *more)},
        description=about,
        parameters=[
            *parameters,
            parts.query("p", "The token, if not in the Authorization header", _TEXT),
        ],
        requestBody={"required": False, **parts.content(_TEXT, TEXT)},
    )


def _stored() -> Part:
    return {"description": "Redis has the readings", "headers": _VERSION}


def _errors(schema: Part, *statuses: int) -> Part:
    """Errors in the format of InfluxDB, or in the standard one if HTTP itself is at fault."""
    either = {"anyOf": [schema, parts.ref("ErrorBody")]}
    return {
        status: {**error, **parts.content(either)}
        for status, error in parts.errors(*statuses).items()
    }


def _v1_parameters() -> list[Part]:
    precisions = ["ns", "n", "us", "u", "ms", "s", "m", "h"]
    return [
        {**parts.query("db", _DATABASE, {"type": "string", "minLength": 1}), "required": True},
        _precision(precisions, "ns"),
    ]


def _v2_parameters() -> list[Part]:
    return [
        parts.query("org", "Selects nothing", _TEXT),
        parts.query("bucket", "Selects nothing", _TEXT),
        _precision(["ns", "us", "ms", "s"], "ns"),
    ]


def _v3_parameters() -> list[Part]:
    names = ["auto", "nanosecond", "microsecond", "millisecond", "second", "ns", "us", "ms", "s"]
    return [
        parts.query("db", _DATABASE, _TEXT),
        _precision(names, "auto"),
        parts.query(
            "accept_partial",
            "Whether good lines are stored if others are bad",
            {"type": "string", "enum": ["true", "false"], "default": "true"},
        ),
    ]


def _precision(names: list[str], default: str) -> Part:
    schema = {"type": "string", "enum": names, "default": default}
    return parts.query("precision", "The unit of the timestamps", schema)


def _ping(operation_id: str) -> Part:
    version = parts.closed({"version": _TEXT})
    responses = {
        "200": {"description": "The version", "headers": _VERSION, **parts.content(version)},
        "204": {"description": "The server is up", "headers": _VERSION},
        **_errors(parts.closed({"error": _TEXT}), 403),
    }
    return parts.operation(
        operation_id,
        "operate",
        "Is the server up, as InfluxDB clients ask; needs no token",
        responses,
        parameters=[parts.query("verbose", "`true`: the version is in the body", _TEXT)],
        security=[{}],
    )


def _query(operation_id: str) -> Part:
    results = parts.closed({"results": {"type": "array", "items": {"type": "object"}}})
    is_post = operation_id.endswith("Post")
    form = {"type": "object", "properties": {"q": _TEXT}}
    return parts.operation(
        operation_id,
        "operate",
        "CREATE DATABASE and SHOW DATABASES, which InfluxDB clients send before they write",
        {
            "200": {"description": "Done", "headers": _VERSION, **parts.content(results)},
            **_errors(parts.closed({"error": _TEXT}), 400, 401, 403, 413, 415, 503),
        },
        parameters=[
            parts.query("q", "The statements", _TEXT),
            parts.query("db", "A database to list", _TEXT),
        ],
        **({"requestBody": parts.content(form, FORM)} if is_post else {}),
    )
