"""The dashboard at `/`: a page of plain modules that uses the read API like any other client."""

from __future__ import annotations

from urllib.parse import urlsplit

import redis
from flask import Blueprint, Response, g, request
from markupsafe import escape

from api.dashboard import files
from api.dashboard.snapshot import Snapshot
from tributary.auth import cors, qr_code, tokens
from tributary.auth.guard import Guard, is_loopback
from tributary.errors import Refused
from tributary.http import flask_app
from tributary.model import catalogue
from tributary.settings import Settings

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _CSP,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}
_RECORD_URL, _HISTORY = b"__RECORD_URL__", b"__HISTORY__"


def blueprint(settings: Settings, client: redis.Redis, guard: Guard) -> Blueprint:
    """`/` and its files, which contain no data, and `/api/v1/status`, which may require a token."""
    routes = Blueprint("dashboard", __name__)
    static = files.load()
    page = static.pop("index.html")
    content = page.content.replace(_RECORD_URL, escape(settings.record_url).encode())
    has_history = b"off" if settings.history == "off" else b"on"
    index = files.File.of(content.replace(_HISTORY, has_history), page.type)
    snapshot = Snapshot(client, settings)

    @routes.get("/")
    def get_index() -> Response:
        _reject_readings(list(request.args))
        return _respond(index)

    @routes.get("/dashboard/<path:name>")
    def get_file(name: str) -> Response:
        if name not in static:
            raise Refused(
                f"the dashboard has no file {name!r:.80}; its page is /",
                status=404,
                code="no_file",
            )
        return _respond(static[name])

    guarded = Blueprint("status", __name__)
    guarded.before_request(flask_app.require_scope(guard, "collect"))

    @guarded.get("/api/v1/status")
    def get_status() -> Response:
        return flask_app.json_response(snapshot.read(), headers={"Cache-Control": "max-age=1"})

    metrics = {
        name: {
            "unit": metric.unit,
            "plausible": metric.plausible,
            "alerts": {rule.name: rule._asdict() for rule in metric.alerts},
        }
        for name, metric in catalogue.load(settings.metrics_file).metrics.items()
    }

    @guarded.get("/dashboard/catalogue")
    def get_catalogue() -> Response:
        return flask_app.json_response(metrics, headers={"Cache-Control": "no-cache"})

    @guarded.get("/dashboard/qr")
    def get_code() -> Response:
        return _code(settings.dashboard_url)

    routes.register_blueprint(guarded)
    return routes


def _code(dashboard_url: str) -> Response:
    """The QR code that opens the page on another device, signed in with the token of the request.

    It contains the address of the page, or `dashboard_url` if that one is of this machine only.
    """
    try:
        origin = cors.checked_origin(request.args.get("origin", ""))
    except ValueError as error:
        raise Refused(str(error), status=400, code="bad_parameter", field="origin") from None
    is_local = is_loopback(urlsplit(origin).hostname or "")
    url = dashboard_url if is_local else origin
    if not url:
        raise Refused(
            f"other devices cannot open {origin}; start the server with --host 0.0.0.0, "
            "or set TRIBUTARY_DASHBOARD_URL",
            status=404,
            code="no_address",
        )
    # The token that was accepted, if one is required: nothing that the page does not have.
    secret = None if g.token is None else tokens.secret_of(request.headers["Authorization"])
    size, path = qr_code.outline(qr_code.link(url, secret))
    body = {"url": url, "has_token": secret is not None, "size": size, "path": path}
    return flask_app.json_response(body, headers={"Cache-Control": "no-store"})


def _reject_readings(parameters: list[str]) -> None:
    """Reject the first parameter of a query string: a client tries to record at `/`."""
    for name in parameters[:1]:
        raise Refused(
            f"/ is the dashboard and records nothing, not even {name!r:.80}; send readings to "
            "GET /record?device=car-7&temperature=21.5 or POST /record; /docs lists all paths",
            status=400,
            code="wrong_path",
            field=name[:80],
        )


def _respond(file: files.File) -> Response:
    response = Response(file.content, headers=_HEADERS, content_type=file.type)
    if request.accept_encodings["gzip"] > 0:
        response.set_data(file.gzipped)
        response.content_encoding = "gzip"
    response.set_etag(file.etag, weak=True)
    response.make_conditional(request)
    return response
