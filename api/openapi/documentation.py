"""Serves `/openapi.json`, and `/docs` to browse it without requests to other hosts."""

from __future__ import annotations

from pathlib import Path

import msgspec
from flask import Blueprint, Response, send_from_directory

from api import openapi
from tributary import __version__
from tributary.http import flask_app
from tributary.settings import Settings

_FILES = Path(__file__).with_name("viewer")
# Only files of this server; the viewer draws its arrows as data: images.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_MAX_AGE_S = 3600


def blueprint(settings: Settings) -> Blueprint:
    """The document and its viewer. Neither contains data, so neither requires a token."""
    routes = Blueprint("documentation", __name__)
    document = msgspec.json.encode(openapi.document(settings, __version__))

    @routes.get("/openapi.json")
    def get_document() -> Response:
        return flask_app.json_response(document)

    @routes.get("/docs")
    def get_viewer() -> Response:
        return _file("index.html")

    @routes.get("/docs/<path:name>")
    def get_file(name: str) -> Response:
        return _file(name)

    return routes


def _file(name: str) -> Response:
    response = send_from_directory(_FILES, name, max_age=_MAX_AGE_S)
    response.headers.extend(_HEADERS)
    return response
