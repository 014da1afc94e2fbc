"""Parts of OpenAPI operations: parameters, responses, errors."""

from __future__ import annotations

from typing import Any

import msgspec

Part = dict[str, Any]
JSON = "application/json"
REF = "#/components/schemas/{name}"

ERRORS = {
    400: "Malformed body or parameter",
    401: "Missing or invalid token",
    403: "The token does not cover this device or lacks the scope",
    404: "The device or metric has no readings, or the export or silence does not exist",
    409: "The export is not done",
    405: "The path does not support this method",
    413: "The body or the batch is too large",
    415: "Unsupported content type, charset or content encoding",
    422: "A reading is invalid; nothing in the request is stored",
    429: "Too many readings per second from this device or with this token, or too many exports",
    501: "The server runs with `--no-lane`, which does not support live updates, or without jobs",
    503: "Redis is unavailable or the backlog is full; retry later",
}
RETRY = {"Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}}
_WITH_RETRY = {"429", "503"}
_CACHED = {
    "ETag": {
        "description": "Changes with the stored data, with a stale flag, and as slots leave windows",
        "required": True,
        "schema": {"type": "string", "pattern": '^W/"[^"]+"$'},
    },
    "Cache-Control": {"required": True, "schema": {"const": "max-age=1"}},
}

TOKEN: Part = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,100}$"}


def token() -> Part:
    """The query parameter of clients that cannot send header fields."""
    return query("token", "The token, for clients that cannot send header fields", TOKEN)


def ref(name: str) -> Part:
    """A reference to a schema of the components."""
    return {"$ref": REF.format(name=name)}


def schema(type_: Any) -> Part:
    """The inline schema of a type."""
    return msgspec.json.schema(type_)


def operation(
    operation_id: str, tag: str, summary: str, responses: Part, **more: Any
) -> dict[str, Any]:
    """One method of one path; `more` is its description, parameters or request body."""
    head = {"operationId": operation_id, "tags": [tag], "summary": summary}
    return {**head, **more, "responses": responses}


def query(name: str, description: str, schema_: Part) -> Part:
    """A query parameter."""
    return {"name": name, "in": "query", "description": description, "schema": schema_}


def header(name: str, description: str, schema_: Part) -> Part:
    """A request header."""
    return {"name": name, "in": "header", "description": description, "schema": schema_}


def path(name: str, schema_: Part) -> Part:
    """A path parameter."""
    return {"name": name, "in": "path", "required": True, "schema": schema_}


def content(schema_: Part, type_: str = JSON) -> Part:
    """The content of a request or response."""
    return {"content": {type_: {"schema": schema_}}}


def response(description: str, schema_: Part, type_: str = JSON, **more: Any) -> Part:
    """A response; `more` is its headers or links."""
    return {"description": description, **content(schema_, type_), **more}


def ok(name: str, description: str, **more: Any) -> Part:
    """A 200 response with JSON; `more` is its headers or links."""
    return {"200": response(description, ref(name), **more)}


def cached(name: str, description: str) -> Part:
    """A 200 response with an ETag, and the 304 response to a matching If-None-Match."""
    unchanged = {"description": "The client has the current response", "headers": _CACHED}
    return {**ok(name, description, headers=_CACHED), "304": unchanged}


def errors(*statuses: int) -> Part:
    """The error responses of an operation."""
    found = {str(status): response(ERRORS[status], ref("ErrorBody")) for status in statuses}
    for status in _WITH_RETRY & found.keys():
        found[status]["headers"] = RETRY
    return found


def closed(required: dict[str, Any], **optional: Any) -> Part:
    """An object with these fields and no others."""
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }
