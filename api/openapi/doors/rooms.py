"""The operations for the temperatures of rooms."""

from __future__ import annotations

from typing import Any

from api.openapi import operation_parts as parts
from api.openapi.operation_parts import Part
from api.read import bodies
from api.read.parameters import WINDOW_DEFAULT
from tributary.settings import Settings

_TEMPERATURES = "/api/v1/buildings/{building}/rooms/{room}/temperatures"
_POST = """\
A temperature in degC of the device `building/room`. A time without a zone is UTC here.
Other members of the object are not stored."""
_GET = """\
The average over the slots that overlap the duration up to now, from the windows in Redis and, if it
is longer, from the history.
A room without readings in it, or without any, has a count of 0 and null as average."""


def paths(_settings: Settings) -> dict[str, Any]:
    """The operations, by path."""
    recorded = parts.response("Redis has the temperature", parts.ref("Recorded"))
    duration = {**parts.schema(bodies.Duration), "default": WINDOW_DEFAULT}
    return {
        _TEMPERATURES: {
            "post": parts.operation(
                "recordTemperature",
                "record",
                "Record a temperature of a room",
                {"201": recorded, **parts.errors(400, 401, 403, 413, 415, 422, 429, 503)},
                description=_POST,
                parameters=[*_room(), parts.token()],
                requestBody={"required": True, **parts.content(_temperature())},
            )
        },
        f"{_TEMPERATURES}/average": {
            "get": parts.operation(
                "getRoomAverage",
                "collect",
                "The average temperature of a room",
                {
                    **parts.ok("RoomAverage", "The average"),
                    **parts.errors(400, 401, 403, 404, 503),
                },
                description=_GET,
                parameters=[
                    *_room(),
                    parts.query("duration", "How far back", duration),
                ],
            )
        },
    }


def _room() -> list[Part]:
    part = {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,60}$"}
    return [parts.path("building", part), parts.path("room", part)]


def _temperature() -> Part:
    time = {"anyOf": [{"type": "string"}, {"type": "number"}]}
    return {
        "type": "object",
        "required": ["temperature"],
        "properties": {"temperature": {"type": "number"}, "recorded_at": time},
    }
