"""What operations are made of: parameters, answers, errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Part = dict[str, Any]
JSON = "application/json"

ERRORS = {
    400: "Not JSON, a wrong shape, a bad encoding, or a parameter that is not known",
    401: "No token, or one that is not valid",
    403: "The token is not for this device or lacks the scope",
    404: "Nothing was recorded of it",
    413: "The body or the batch is too large",
    415: "The content type, charset or content encoding is not known",
    422: "A reading breaks a rule; nothing of the request is stored",
    429: "Too many readings a second, from this device or with this token",
    501: "The server runs on threads (`--no-lane`), which cannot hold listeners open",
    503: "Redis cannot do it now, or the backlog is full; send it again later",
}
_RETRY = {"Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}}
_WITH_RETRY = (429, 503)
_CACHED = {
    "ETag": {
        "description": "Changes with what is stored, with a stale flag, and as slots leave windows",
        "required": True,
        "schema": {"type": "string", "pattern": '^W/"[^"]+"$'},
    },
    "Cache-Control": {"required": True, "schema": {"const": "max-age=1"}},
}


def ref(schema: str) -> Part:
    """A schema of the components."""
    return {"$ref": f"#/components/schemas/{schema}"}


def operation(
    operation_id: str, tag: str, summary: str, responses: Part, **more: Any
) -> dict[str, Any]:
    """One method of one path; a last part of `more` is its description, parameters or body."""
    head = {"operationId": operation_id, "tags": [tag], "summary": summary}
    return {**head, **more, "responses": responses}


def query(name: str, meaning: str, schema: Part) -> Part:
    """A parameter of the query."""
    return {"name": name, "in": "query", "description": meaning, "schema": schema}


def header(name: str, meaning: str, schema: Part) -> Part:
    """A header field of the request."""
    return {"name": name, "in": "header", "description": meaning, "schema": schema}


def path(name: str, schema: Part) -> Part:
    """A part of the path."""
    return {"name": name, "in": "path", "required": True, "schema": schema}


def answer(schema: str, meaning: str, **more: Part) -> Part:
    """A 200 with JSON, and what more is told of it: headers, links."""
    return {"200": {"description": meaning, "content": {JSON: {"schema": ref(schema)}}, **more}}


def cached(schema: str, meaning: str) -> Part:
    """A 200 with JSON and its tag, and the 304 for whoever has it already."""
    unchanged = {"description": "It is the answer with that ETag", "headers": _CACHED}
    return {**answer(schema, meaning, headers=_CACHED), "304": unchanged}


def errors(*statuses: int) -> Part:
    """The errors of an operation, and the fault that no operation should have."""
    return {str(status): _error(status) for status in statuses}


def whole(required: dict[str, Any], **optional: Any) -> Part:
    """An object of these fields and no other."""
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


def counted(meaning: str) -> Part:
    """A number of things, and of which."""
    return {"type": "integer", "minimum": 0, "description": meaning}


def choice(*names: str) -> Part:
    """One of some schemas."""
    return {"oneOf": [ref(name) for name in names]}


def words(values: Sequence[str]) -> Part:
    """One of some strings."""
    return {"type": "string", "enum": list(values)}


def _error(status: int) -> Part:
    told: Part = {"description": ERRORS[status], "content": {JSON: {"schema": ref("Error")}}}
    return {**told, "headers": _RETRY} if status in _WITH_RETRY else told
