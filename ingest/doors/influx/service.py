"""`/ping` and `/query` of InfluxDB 1.x: what clients ask before they write."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec

from ingest.batch import Batch
from ingest.doors.door import Door, Mount, Request
from ingest.doors.influx.write import (
    QUERY,
    VERSION,
    VERSION_HEADERS,
    error_v1,
    secret,
    to_error_v1,
)
from ingest.limits import Rules
from tributary.http.response import JSON, Response

_CREATE = re.compile(
    r'\s*CREATE\s+DATABASE\s+("(?:[^"\\]|\\.){1,200}"|\w{1,200})\s*', re.IGNORECASE
)
_SHOW = re.compile(r"\s*SHOW\s+DATABASES\s*", re.IGNORECASE)
_STATEMENTS_MAX = 100
_DATABASE = "tributary"


class Reply(Batch, gc=False, kw_only=True):
    """A batch without readings, and the response to it."""

    response: Response


def _reply(response: Response) -> Reply:
    return Reply({}, 0, is_batch=True, response=response)


class _ServiceDoor(Door):
    error = staticmethod(to_error_v1)

    def ok(self, batch: Batch) -> Response:
        """The prepared response."""
        assert isinstance(batch, Reply)
        return batch.response


class PingDoor(_ServiceDoor):
    """204 with the version; with `verbose=true`, 200 with the version in the body."""

    name = "influx_ping"
    mounts = (Mount("/ping", ("GET", "HEAD")),)
    is_public = True

    def parse(self, request: Request, arrived_ms: int, rules: Rules) -> Batch:
        """Nothing to store."""
        if request.query.get("verbose", "false") in ("", "0", "false"):
            return _reply(Response(b"", 204, headers=VERSION_HEADERS))
        return _reply(_json({"version": VERSION}))


class QueryDoor(_ServiceDoor):
    """CREATE DATABASE and SHOW DATABASES; any name of a database can be written to."""

    name = "influx_query"
    mounts = (Mount("/query", ("GET", "POST"), QUERY),)
    secret = staticmethod(secret)

    def parse(self, request: Request, arrived_ms: int, rules: Rules) -> Batch:
        """Nothing to store."""
        given = {**_form(request.body), **request.query}
        query = given.get("q", "")
        if not query.strip():
            return _reply(error_v1('missing required parameter "q"', 400))
        results: list[dict[str, Any]] = []
        statements = [each for each in query.split(";") if each.strip()]
        for number, statement in enumerate(statements[:_STATEMENTS_MAX]):
            if _CREATE.fullmatch(statement):
                results.append({"statement_id": number})
            elif _SHOW.fullmatch(statement):
                results.append({"statement_id": number, "series": [_databases(given.get("db"))]})
            else:
                return _reply(
                    error_v1(
                        f"error parsing query: unsupported statement {statement.strip()!r:.80}; "
                        "values are read from /collect, /api/v1/devices or /prometheus",
                        400,
                    )
                )
        return _reply(_json({"results": results}))


def _form(body: bytes) -> Mapping[str, str]:
    fields = parse_qs(body.decode("utf-8", "replace"))
    return {name: values[-1] for name, values in fields.items()}


def _databases(given: str | None) -> dict[str, Any]:
    names = dict.fromkeys((_DATABASE, given or _DATABASE))
    return {"name": "databases", "columns": ["name"], "values": [[name] for name in names]}


def _json(body: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(body), 200, JSON, VERSION_HEADERS)
