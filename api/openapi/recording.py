"""The routes that readings come in by."""

from __future__ import annotations

from typing import Any

from api.openapi import parts
from api.openapi.parts import JSON, Part
from tributary.settings import Settings

NDJSON = "application/x-ndjson"

_ABOUT = """\
One reading, several, or columns. JSON needs no `Content-Type`: what `curl -d` and `fetch` call it
is taken as JSON. The body may be compressed with gzip.

A 200 says that Redis has every reading of the request.
A request without an answer may or may not have been stored: send it again with the same
`Idempotency-Key`, and it counts once."""


def paths(settings: Settings) -> dict[str, Any]:
    """The operations of the ingest role."""
    lines = {"type": "string", "description": "One reading a line", "minLength": 2}
    return {
        "/record": {
            "post": parts.operation(
                "record",
                "record",
                "Record readings",
                {
                    **parts.answer("Recorded", "Redis has the readings"),
                    **parts.errors(400, 401, 403, 413, 415, 422, 429, 503),
                },
                description=_ABOUT,
                parameters=_parameters(settings),
                requestBody={
                    "required": True,
                    "content": {
                        JSON: {"schema": {"anyOf": _forms()}},
                        NDJSON: {"schema": lines},
                    },
                },
            )
        }
    }


def _forms() -> list[Part]:
    return [parts.ref(form) for form in ("Reading", "Batch", "Columns")]


def _parameters(settings: Settings) -> list[Part]:
    return [
        parts.query(
            "on_error",
            "`skip` stores the good readings of a batch and tells what is wrong with the others",
            {**parts.words(["refuse", "skip"]), "default": "refuse"},
        ),
        parts.header(
            "Idempotency-Key",
            "A name for this request: sent again within "
            f"{settings.idempotency_ttl_ms // 1000} s, it is answered but not counted again",
            {"type": "string", "minLength": 1, "maxLength": 255},
        ),
    ]
