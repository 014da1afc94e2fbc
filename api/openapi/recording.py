"""The operations that record readings."""

from __future__ import annotations

from typing import Any

from api.openapi import operation_parts as parts
from api.openapi.operation_parts import JSON, Part, ref
from tributary.settings import Settings

NDJSON = "application/x-ndjson"

_RECORD = """\
One reading, several, or columns. JSON needs no `Content-Type`: the defaults of `curl -d` and
`fetch` are accepted as JSON. The body may be compressed with gzip.

A 200 response means that Redis has every reading of the request.
A request without a response may or may not have been stored: repeat it with the same
`Idempotency-Key`, and it is counted once."""


def paths(settings: Settings) -> dict[str, Any]:
    """The operations, by path."""
    lines = {"type": "string", "description": "One reading per line", "minLength": 2}
    forms = {"anyOf": [ref(form) for form in ("Reading", "Batch", "Columns")]}
    operation = parts.operation(
        "record",
        "record",
        "Record readings",
        {
            **parts.ok("Recorded", "Redis has the readings"),
            **parts.errors(400, 401, 403, 413, 415, 422, 429, 503),
        },
        description=_RECORD,
        parameters=_parameters(settings),
        requestBody={
            "required": True,
            "content": {JSON: {"schema": forms}, NDJSON: {"schema": lines}},
        },
    )
    return {"/record": {"post": operation}}


def _parameters(settings: Settings) -> list[Part]:
    return [
        parts.query(
            "on_error",
            "`skip` stores the valid readings of a batch and lists the others as rejected",
            {"type": "string", "enum": ["refuse", "skip"], "default": "refuse"},
        ),
        parts.header(
            "Idempotency-Key",
            "Identifies the request: repeated within "
            f"{settings.idempotency_ttl_ms // 1000} s, it is not counted again",
            {"type": "string", "minLength": 1, "maxLength": 255},
        ),
    ]
