"""The operation of the door for OwnTracks."""

from __future__ import annotations

from typing import Any

from api.openapi import operation_parts as parts
from tributary.settings import Settings

_ABOUT = """\
A message of the app OwnTracks in HTTP mode. A `location` is a reading of the device `user/device`, from
the header fields or the topic, with the metrics `lat`, `lon`, `acc`, `alt`, `batt`, `vel`, `cog`.
Other messages and empty bodies are accepted and store nothing."""


def paths(_settings: Settings) -> dict[str, Any]:
    """The operation, by path."""
    text, number = {"type": "string"}, {"type": "number"}
    message = {
        "type": "object",
        "required": ["_type"],
        "properties": {
            "_type": text,
            "tst": {"type": "integer", "description": "Seconds since 1970, UTC"},
            "topic": text,
            **dict.fromkeys(("lat", "lon", "acc", "alt", "batt", "vel", "cog"), number),
        },
    }
    empty = {"type": "array", "items": {}, "maxItems": 0}
    operation = parts.operation(
        "recordOwnTracks",
        "record",
        "Record a message of OwnTracks",
        {
            "200": parts.response("Redis has the reading", empty),
            **parts.errors(400, 401, 403, 413, 415, 422, 429, 503),
        },
        description=_ABOUT,
        parameters=[
            parts.header("X-Limit-U", "The user", text),
            parts.header("X-Limit-D", "The device of the user", text),
            parts.token(),
        ],
        requestBody={"required": False, **parts.content(message)},
    )
    return {"/record/owntracks": {"post": operation}}
