"""The operations of the door for Sensor Logger."""

from __future__ import annotations

from typing import Any

from api.openapi import operation_parts as parts
from api.openapi.operation_parts import Part
from tributary.settings import Settings

_ABOUT = """\
Messages of the phone app Sensor Logger, one or an array of them. Each sample is a reading of the
device `deviceId`, with a metric `<name>.<field>` for each number in `values`; strings, images and
null are skipped. A message whose first sample is called `test` stores nothing.
A message that arrives again within the time of an idempotency key is not counted again."""
_TEXT = {"text/plain": {"schema": {"type": "string"}}}


def paths(_settings: Settings) -> dict[str, Any]:
    """The operations, by path."""
    return {
        "/sensor_data": {"post": _operation("sensorLogger", parts.token())},
        "/sensor_data/{token}": {
            "post": _operation("sensorLoggerWithToken", parts.path("token", parts.TOKEN))
        },
    }


def _operation(operation_id: str, token: Part) -> Part:
    ok = parts.content(parts.closed({"status": {"const": "success"}}))
    return parts.operation(
        operation_id,
        "record",
        "Record a message of Sensor Logger",
        {
            "200": {"description": "Redis has the readings", **ok},
            **parts.errors(400, 403, 413, 415, 422, 429, 503),
            "499": {"description": "A problem with the token, for the user", "content": _TEXT},
        },
        description=_ABOUT,
        parameters=[token],
        requestBody={"required": True, **parts.content(_message())},
    )


def _message() -> Part:
    sample = {
        "type": "object",
        "required": ["name", "time", "values"],
        "properties": {
            "name": {"type": "string"},
            "time": {"type": "integer", "description": "Nanoseconds since 1970, UTC"},
            "values": {"type": "object", "additionalProperties": {"type": "number"}},
        },
    }
    text = {"type": "string"}
    return {
        "type": "object",
        "required": ["deviceId", "payload"],
        "properties": {
            "deviceId": text,
            "sessionId": text,
            "messageId": {"type": ["integer", "string"]},
            "payload": {"type": "array", "items": sample},
        },
    }
