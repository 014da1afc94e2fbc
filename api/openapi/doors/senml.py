"""The operation of the door for SenML."""

from __future__ import annotations

from typing import Any

from api.openapi import operation_parts as parts
from tributary.settings import Settings

_ABOUT = """\
A pack of records, RFC 8428. The last `:` or `/` of a name is between device and metric. Numbers and
booleans are stored, in the unit of the catalogue if the metric is in it; strings, data and sums are not.
`POST /record` accepts the same with the content type `application/senml+json`."""

_TEXT, _NUMBER = {"type": "string"}, {"type": "number"}
_RECORD = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("bn", "n", "bu", "u", "vs"), _TEXT),
        **dict.fromkeys(("bt", "t", "bv", "v", "s"), _NUMBER),
        "vb": {"type": "boolean"},
    },
}
MEDIA_TYPE = "application/senml+json"
PACK = {"type": "array", "minItems": 1, "items": _RECORD}


def paths(_settings: Settings) -> dict[str, Any]:
    """The operation, by path."""
    operation = parts.operation(
        "recordSenml",
        "record",
        "Record SenML",
        {
            **parts.ok("Recorded", "Redis has the readings"),
            **parts.errors(400, 401, 403, 413, 415, 422, 429, 503),
        },
        description=_ABOUT,
        parameters=[parts.token()],
        requestBody={"required": True, **parts.content(PACK)},
    )
    return {"/record/senml": {"post": operation}}
