"""The OpenAPI 3.1 document of all routes of ingest and api.

Schemas, limits and defaults come from the code. Tests compare the paths with the routes,
validate real responses and run every example.
"""

from __future__ import annotations

from typing import Any

from api.openapi import access, operations
from api.openapi.examples import EXAMPLES, Example
from api.openapi.schemas import schemas
from tributary.settings import Settings

Document = dict[str, Any]

_ABOUT = """\
Sensors record readings, apps collect current values and averages.
Every reading acknowledged with 200 is counted exactly once.

Times are UTC, RFC 3339 with milliseconds. Fields ending in `_ms` are whole milliseconds.
Undefined statistics are null.
All errors have the same body, whose `code` programs should use; those of `/prometheus` have that of
Prometheus."""

_SECURITY = {
    scheme: {"type": "http", "scheme": scheme, "description": description}
    for scheme, description in {
        "bearer": "A token created with `tributary token create`",
        "basic": "Any user name, and the token as password",
    }.items()
}


def document(settings: Settings, version: str) -> Document:
    """Build the document for a deployment with these settings."""
    paths = operations.paths(settings)
    access.add(paths)
    for example in EXAMPLES:
        _add(example, paths[example.path][example.method.lower()])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tributary",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "The server of this document"}],
        "tags": [
            {"name": "record", "description": "Record readings"},
            {"name": "collect", "description": "Read values and statistics"},
            {"name": "operate", "description": "Health, status and this document"},
        ],
        "paths": paths,
        "components": {"schemas": schemas(settings), "securitySchemes": _SECURITY},
    }


def _add(example: Example, operation: Document) -> None:
    """Add an example to the parameters, the request body and the response of an operation."""
    for parameter in operation.get("parameters", []):
        if parameter["name"] in example.parameters:
            value = {"value": example.parameters[parameter["name"]]}
            parameter.setdefault("examples", {})[example.name] = value
    accepted = operation.get("requestBody", {}).get("content", {})
    if example.body is not None and example.content_type in accepted:
        content = accepted[example.content_type]
        content.setdefault("examples", {})[example.name] = {
            "summary": example.summary,
            "value": example.body,
        }
    if example.response is not None:
        (content,) = operation["responses"][str(example.status)]["content"].values()
        content.setdefault("examples", {})[example.name] = {
            "summary": f"{example.summary}: {example.method} {example.target}",
            "value": example.response,
        }
