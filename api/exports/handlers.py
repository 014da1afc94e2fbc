"""The request handlers of exports.

An export belongs to the token it was made with: no other token may see or delete it. Its file is
read by the link alone, which has an unguessable secret, ends with the export, and works only while
that token does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import IO, NamedTuple

import msgspec
import redis
from flask import Blueprint, Response, g, request

from api.exports import bodies
from api.exports.bodies import PATH, Exports
from tributary.auth import tokens
from tributary.auth.guard import Guard
from tributary.auth.tokens import Token
from tributary.errors import Misconfigured, Refused, TributaryError, Unavailable
from tributary.http import flask_app
from tributary.model import export
from tributary.model.clock import utc_ms
from tributary.model.export import InvalidExport, Spec
from tributary.operate import exports
from tributary.operate.exports import Export, Record
from tributary.settings import Settings

_CHUNK_BYTES = 65_536
_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}


def blueprint(settings: Settings, client: redis.Redis, guard: Guard) -> Blueprint:
    """Everything under `/api/v1/exports`."""
    downloads = flask_app.ConcurrencyLimit(max(1, settings.http_threads // 4), "downloads")
    handlers = _Handlers(settings, client, downloads)
    own = Blueprint("own_exports", __name__)
    own.before_request(flask_app.require_scope(guard, "collect", writes=True))
    own.add_url_rule(PATH, view_func=handlers.create, methods=["POST"])
    own.add_url_rule(PATH, view_func=handlers.list_all)
    one = f"{PATH}/<id>"
    own.add_url_rule(one, view_func=handlers.read)
    own.add_url_rule(one, view_func=handlers.delete, methods=["DELETE"])
    routes = Blueprint("exports", __name__)
    routes.register_blueprint(own)
    routes.add_url_rule(f"{one}/file", view_func=handlers.file)
    return routes


class _Handlers(NamedTuple):
    """One method per route."""

    settings: Settings
    client: redis.Redis
    downloads: flask_app.ConcurrencyLimit

    def create(self) -> Response:
        """`POST /api/v1/exports`."""
        token: Token | None = g.token
        spec = _spec(request.get_data(cache=False))
        if token is not None:
            spec = _narrowed(spec, token)
        token_id = None if token is None else token.id
        made = exports.create(self.client, self.settings, spec, token_id, utc_ms())
        try:
            exports.enqueue(self.settings, made.record.id)
        except TributaryError as error:
            exports.delete(self.client, self.settings, [made.record.id])
            if isinstance(error, Misconfigured):
                raise Refused(str(error), status=501, code="no_jobs") from error
            raise
        location = {"Location": f"{PATH}/{made.record.id}"}
        return flask_app.json_response(bodies.body(made), 202, location)

    def list_all(self) -> Response:
        """`GET /api/v1/exports`."""
        found = [one for one in exports.read_all(self.client, utc_ms()) if _is_own(one.record)]
        return flask_app.json_response(Exports([bodies.body(one) for one in found]))

    def read(self, id: str) -> Response:  # noqa: A002 (the parameter of the path)
        """`GET /api/v1/exports/{id}`."""
        return flask_app.json_response(bodies.body(self._own(id)))

    def delete(self, id: str) -> Response:  # noqa: A002 (likewise)
        """`DELETE /api/v1/exports/{id}`."""
        exports.delete(self.client, self.settings, [self._own(id).record.id])
        return Response(status=204)

    def file(self, id: str) -> Response:  # noqa: A002 (likewise)
        """`GET /api/v1/exports/{id}/file?secret=…`."""
        found = exports.find(self.client, id, utc_ms())
        secret = request.args.get("secret", "")
        if found is None or not exports.is_secret(found.record, secret):
            raise _unknown()
        self._check_token(found.record)
        if found.state.state != "done":
            raise Refused(
                f"the export is {found.state.state}; wait until it is done",
                status=409,
                code="not_done",
            )
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.downloads.acquire())
            content = stack.enter_context(self._open(found))
            response = Response(_chunks(content))
            response.call_on_close(stack.pop_all().close)
        spec = found.record.spec
        name = bodies.file_name(spec, found.record.created_ms)
        response.headers.update(
            {
                "Content-Type": _TYPES[spec.format],
                "Content-Length": str(found.state.size_bytes),
                "Content-Disposition": f'attachment; filename="{name}"',
                "Cache-Control": "private, no-store",
                "X-Content-Type-Options": "nosniff",
            }
        )
        return response

    def _own(self, id_: str) -> Export:
        found = exports.find(self.client, id_, utc_ms())
        if found is None or not _is_own(found.record):
            raise _unknown()
        return found

    def _check_token(self, record: Record) -> None:
        """Raise unless the token that the export was made with is still valid."""
        if record.token is None:
            return
        now_ms = utc_ms()
        for token in tokens.load(self.client).by_digest.values():
            is_valid = token.expires_at_ms is None or token.expires_at_ms > now_ms
            if token.id == record.token and is_valid:
                return
        raise _unknown()

    def _open(self, found: Export) -> IO[bytes]:
        """The file; its name is from the state that the job has kept, never from a request."""
        path = exports.directory(self.settings) / found.state.file
        try:
            return path.open("rb")
        except OSError as error:
            raise Unavailable(
                f"the file of the export cannot be read here: {error.strerror}; api and jobs need "
                "the same TRIBUTARY_EXPORT_DIR"
            ) from error


def _spec(content: bytes) -> Spec:
    """The spec that a body asks for."""
    try:
        given = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"the body is not JSON: {error}", status=400, code="not_json") from None
    if not isinstance(given, dict):
        raise Refused(
            "the body is not a JSON object; send {} for everything, or choose, as in "
            '{"devices":"car-*"}',
            status=400,
            code="wrong_shape",
        )
    try:
        return export.parse(given)
    except InvalidExport as error:
        is_known = error.field in export.FIELDS
        code = f"invalid_{error.field}" if is_known else "unknown_field"
        raise Refused(str(error), status=400, code=code, field=error.field[:80]) from None


def _narrowed(spec: Spec, token: Token) -> Spec:
    """The spec limited to the devices of a token."""
    if all(pattern_.find("*") < 0 for pattern_ in spec.devices):
        token.check("collect", spec.devices)
    narrowed = spec.narrowed(token.device)
    if narrowed is None:
        raise Refused(
            f"token {token.id} is for no device of {', '.join(spec.devices)!r:.140}; use one that is",
            status=403,
            code="wrong_device",
            field="devices",
        )
    return narrowed


def _is_own(record: Record) -> bool:
    """Whether the request may see an export: that of its token, or all where none is required."""
    return g.token is None or record.token == g.token.id


def _unknown() -> Refused:
    return Refused(
        "no such export: it was deleted, has expired, or was made with another token",
        status=404,
        code="unknown_export",
    )


def _chunks(content: IO[bytes]) -> Iterator[bytes]:
    while chunk := content.read(_CHUNK_BYTES):
        yield chunk
