"""The operations of exports."""

from __future__ import annotations

from typing import Any

from api.exports.bodies import PATH
from api.openapi import operation_parts as parts
from api.openapi.operation_parts import Part, content, operation, query, ref, response

_TEXT = {"type": "string"}
_ID = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_CREATE = """\
A job writes the file; poll the export until its state is `done`, then fetch its `link`.
Readings come from the stream of Redis and from the raw files, so they reach back as far as those
do; `covered` in the result has the span. Slots are statistics from the history.

The export has only devices that the token covers, and no other token can see it. It is deleted
with its file after `export_ttl_s`."""
_FILE = """\
The `link` of an export: whoever has it can read the file, without a token, until the export
expires or is deleted, or its token is revoked."""


def paths() -> dict[str, Any]:
    """The operations, by path and method."""
    one = f"{PATH}/{{id}}"
    return {
        PATH: {"post": _create(), "get": _list()},
        one: {
            "get": operation(
                "getExport",
                "collect",
                "An export: its state, progress and link",
                {**parts.ok("Export", "The export"), **_errors()},
                parameters=[_id()],
            ),
            "delete": operation(
                "deleteExport",
                "collect",
                "Delete an export and its file",
                {"204": {"description": "It is deleted"}, **_errors()},
                parameters=[_id()],
            ),
        },
        f"{one}/file": {"get": _file()},
    }


def _create() -> Part:
    headers, links = {"Location": _location()}, {"export": _link("getExport")}
    accepted = response("It is queued", ref("Export"), headers=headers, links=links)
    return operation(
        "createExport",
        "collect",
        "Export readings or statistics as a file",
        {"202": accepted, **parts.errors(400, 401, 403, 413, 429, 501, 503)},
        description=_CREATE,
        requestBody={"required": True, **content(ref("ExportRequest"))},
    )


def _list() -> Part:
    return operation(
        "listExports",
        "collect",
        "The exports made with this token",
        {**parts.ok("Exports", "Oldest first"), **parts.errors(401, 403, 503)},
    )


def _file() -> Part:
    file = {"type": "string"}
    types = ("text/csv", "application/x-ndjson", "application/vnd.apache.parquet")
    return operation(
        "getExportFile",
        "collect",
        "The file of an export",
        {
            "200": {
                "description": "The file",
                "content": {each: {"schema": file} for each in types},
                "headers": {"Content-Disposition": {"required": True, "schema": _TEXT}},
            },
            **parts.errors(404, 409, 503),
        },
        description=_FILE,
        parameters=[_id(), {**query("secret", "From the link", _TEXT), "required": True}],
        security=[],
    )


def _location() -> Part:
    return {"description": "The path of the export", "required": True, "schema": _TEXT}


def _link(operation_id: str) -> Part:
    return {"operationId": operation_id, "parameters": {"id": "$response.body#/id"}}


def _id() -> Part:
    return parts.path("id", _ID)


def _errors() -> Part:
    return parts.errors(401, 403, 404, 503)
