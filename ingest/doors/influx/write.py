"""`/write` of InfluxDB 1.x, `/api/v2/write` of 2.x and `/api/v3/write_lp` of 3.x.

They differ in the names of precisions, in what a bad line does, and in the bodies of errors. Names
of databases, organisations and buckets select nothing here. Formats: the documentation of
InfluxDB, and responses of its server 1.6.7.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import msgspec

from ingest.batch import Batch
from ingest.doors.door import Door, Mount, Request
from ingest.doors.influx import body, times
from ingest.doors.influx.line import LINE_ERROR
from ingest.doors.influx.times import Context, Precision
from ingest.limits import Rules
from tributary.auth import tokens
from tributary.errors import Refused
from tributary.http.flask_app import HttpError
from tributary.http.response import JSON, Response

# The version whose protocol is spoken; clients read it from every response.
VERSION = "1.8.10"
VERSION_HEADERS = (("X-Influxdb-Version", VERSION), ("X-Influxdb-Build", "Tributary"))
QUERY = "[A-Za-z0-9._~%&=+:/,@-]{0,1000}"  # those that the lane serves
_STORED = Response(b"", 204, headers=VERSION_HEADERS)
_LISTED_MAX = 10  # bad lines in a response
_HEADER_MAX = 1024  # characters of an error in a header, as of InfluxDB
_V2_CODES = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    413: "request too large",
    415: "invalid",
    421: "forbidden",
    422: "unprocessable entity",
    429: "too many requests",
    500: "internal error",
    503: "unavailable",
}


def secret(request: Request) -> str:
    """The token: the parameter `p` or `token`, or the header Authorization, also as password.

    Raises:
        Refused: 401, there is none.
    """
    query = request.query
    return query.get("p") or query.get("token") or tokens.secret_of(request.head.authorization)


def error_v1(message: str, status: int, headers: dict[str, str] | None = None) -> Response:
    """An error of InfluxDB 1.x."""
    shown = "".join(c if " " <= c <= "~" else "?" for c in message[:_HEADER_MAX]).strip()
    fields = (*VERSION_HEADERS, ("X-Influxdb-Error", shown), *(headers or {}).items())
    return Response(msgspec.json.encode({"error": message}), status, JSON, fields)


def to_error_v1(error: HttpError) -> Response:
    """Any error as of InfluxDB 1.x; too many requests is 503, because clients drop on any 4xx."""
    message, status, headers = error.message, error.status, dict(error.headers)
    if status == 401:
        message = f"authorization failed: {message}"
        headers["WWW-Authenticate"] = 'Basic realm="InfluxDB"'
    elif status == 413:
        message = f"Request Entity Too Large: {message}"
    return error_v1(message, {422: 400, 429: 503}.get(status, status), headers)


class _WriteDoor(Door):
    """What the three versions share."""

    secret = staticmethod(secret)
    keeps_good_lines: ClassVar[bool]

    def parse(self, request: Request, arrived_ms: int, rules: Rules) -> Batch:
        """Lines to readings; the body may be empty."""
        precision = self._precision(request.query.get("precision", ""))
        rejected: list[Refused] | None = [] if self._keeps_good_lines(request) else None
        batch = body.parse(request.body, Context(precision, arrived_ms, rules), rejected)
        batch.idempotency_key = request.head.idempotency_key
        return batch

    @abstractmethod
    def _precision(self, name: str) -> Precision:
        """The precision of timestamps."""

    @abstractmethod
    def _keeps_good_lines(self, request: Request) -> bool:
        """Whether bad lines are left out, or reject the request."""

    def ok(self, batch: Batch) -> Response:
        """204."""
        return self._partial(batch, batch.rejected) if batch.rejected else _STORED

    def duplicate(self, body: bytes) -> Response:
        """The first response again."""
        return Response(body, 400, headers=VERSION_HEADERS) if body else _STORED

    def _partial(self, batch: Batch, rejected: list[Refused]) -> Response:
        """The response if lines were left out."""
        raise NotImplementedError


class V1Door(_WriteDoor):
    """InfluxDB 1.x: good lines are stored; errors are one text."""

    name = "influx_v1"
    mounts = (Mount("/write", ("POST",), QUERY),)
    error = staticmethod(to_error_v1)

    def parse(self, request: Request, arrived_ms: int, rules: Rules) -> Batch:
        """Like the others, but the name of a database is required."""
        if not request.query.get("db"):
            raise Refused("database is required", status=400, code="no_database", field="db")
        return super().parse(request, arrived_ms, rules)

    def _precision(self, name: str) -> Precision:
        return times.v1(name)

    def _keeps_good_lines(self, request: Request) -> bool:
        return True

    def _partial(self, batch: Batch, rejected: list[Refused]) -> Response:
        dropped = sum(each.code != LINE_ERROR for each in rejected)
        texts = list(dict.fromkeys(map(_text, rejected)))
        message = "\n".join(texts[:_LISTED_MAX])
        if len(texts) > _LISTED_MAX:
            message += f"\nand {len(texts) - _LISTED_MAX} more"
        if batch.readings or dropped:
            message = f"partial write: {message} dropped={dropped}"
        return error_v1(message, 400)


class V2Door(_WriteDoor):
    """InfluxDB 2.x: a bad line rejects the whole request."""

    name = "influx_v2"
    mounts = (Mount("/api/v2/write", ("POST",), QUERY),)

    def _precision(self, name: str) -> Precision:
        return times.v2(name)

    def _keeps_good_lines(self, request: Request) -> bool:
        return False

    def error(self, error: HttpError) -> Response:
        """A code, a message, and the number of the line."""
        body: dict[str, Any] = {
            "code": _V2_CODES.get(error.status, "invalid"),
            "message": error.message,
        }
        if error.code == LINE_ERROR:
            body["message"] = f"unable to parse '{error.field}': {error.message}"
            body["line"] = (error.index or 0) + 1
        elif error.status == 401:
            body["message"] = f"unauthorized access: {error.message}"
        headers = (*VERSION_HEADERS, *error.headers.items())
        return Response(msgspec.json.encode(body), error.status, JSON, headers)


class V3Door(_WriteDoor):
    """InfluxDB 3.x: good lines are stored unless `accept_partial=false`; errors are a list."""

    name = "influx_v3"
    mounts = (Mount("/api/v3/write_lp", ("POST",), QUERY),)

    def _precision(self, name: str) -> Precision:
        return times.v3(name)

    def _keeps_good_lines(self, request: Request) -> bool:
        given = request.query.get("accept_partial", "true")
        if given not in ("true", "false"):
            raise Refused(
                f"invalid accept_partial={given!r:.20}; use true or false",
                status=400,
                code="invalid_accept_partial",
                field="accept_partial",
            )
        return given == "true"

    def _partial(self, batch: Batch, rejected: list[Refused]) -> Response:
        data = [_failed(each.field, each.index, each.message) for each in rejected[:_LISTED_MAX]]
        body = {"error": "partial write of line protocol occurred", "data": data}
        return Response(msgspec.json.encode(body), 400, JSON, VERSION_HEADERS)

    def error(self, error: HttpError) -> Response:
        """A text, and the line that it is about."""
        body: dict[str, Any] = {"error": error.message}
        if error.code == LINE_ERROR:
            body["error"] = "parsing failed for write_lp endpoint"
            body["data"] = _failed(error.field, error.index, error.message)
        headers = (*VERSION_HEADERS, *error.headers.items())
        return Response(msgspec.json.encode(body), error.status, JSON, headers)


def _failed(line: str | None, index: int | None, message: str) -> dict[str, Any]:
    return {
        "original_line": line or "",
        "line_number": (index or 0) + 1,
        "error_message": message,
    }


def _text(rejected: Refused) -> str:
    if rejected.code != LINE_ERROR:
        return rejected.message
    return f"unable to parse '{rejected.field}': {rejected.message}"
