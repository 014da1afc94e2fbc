"""The OpenAPI 3.1 description of every route of ingest and api, with examples that are run.

It is put together from plain Python, so that names, limits and defaults in it are those of the
code. A test holds its paths against the routes, and another executes each example.
"""

from __future__ import annotations

from typing import Any

from api.openapi import collecting, recording, serving, status
from api.openapi.examples import EXAMPLES, Example
from api.openapi.schemas import schemas
from tributary.settings import Settings

Document = dict[str, Any]

_ABOUT = """\
Sensors record readings, apps collect current values and averages.
Every reading that was answered with 200 is counted exactly once.

Times are UTC, RFC 3339 with milliseconds; names that end in `_ms` are whole milliseconds;
a statistic that does not exist is null.
Every error has one shape, and its `code` is what a program should look at."""

_SECURITY = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token made with `tributary token create`",
    },
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "Any user name, the token as password",
    },
}


def document(settings: Settings, version: str) -> Document:
    """The description of a deployment with these settings."""
    paths: dict[str, Any] = {
        **recording.paths(settings),
        **collecting.paths(settings),
        **status.paths(),
        **serving.paths(),
    }
    for example in EXAMPLES:
        _place(example, paths[example.path][example.method.lower()])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tributary",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "where this document comes from"}],
        "security": [{}, {"bearer": []}, {"basic": []}],
        "tags": [
            {"name": "record", "description": "Readings in"},
            {"name": "collect", "description": "Values and statistics out"},
            {"name": "operate", "description": "Health, counts, and this document"},
        ],
        "paths": paths,
        "components": {
            "schemas": schemas(settings),
            "securitySchemes": _SECURITY,
        },
    }


def _place(example: Example, operation: Document) -> None:
    """Put an example where a reader looks for it: parameters, body, answer."""
    for parameter in operation.get("parameters", []):
        if parameter["name"] in example.parameters:
            value = {"value": example.parameters[parameter["name"]]}
            parameter.setdefault("examples", {})[example.name] = value
    taken = operation.get("requestBody", {}).get("content", {})
    if example.body is not None and example.content_type in taken:
        content = taken[example.content_type]
        content.setdefault("examples", {})[example.name] = {
            "summary": example.summary,
            "value": example.body,
        }
    if example.answer is not None:
        (content,) = operation["responses"][str(example.status)]["content"].values()
        content.setdefault("examples", {})[example.name] = {
            "summary": f"{example.summary}: {example.method} {example.target}",
            "value": example.answer,
        }
