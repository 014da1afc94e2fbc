"""The path of live updates on a server without an event loop."""

from __future__ import annotations

from flask import Blueprint, Response

from api.live.asgi import PATH
from tributary.errors import Refused


def blueprint() -> Blueprint:
    """501; with the lane, requests for the path do not reach Flask."""
    routes = Blueprint("live", __name__)

    @routes.get(PATH)
    def get_live() -> Response:
        raise Refused(
            "live updates need the event loop, and this server runs with --no-lane; "
            "start it without --no-lane, or poll /collect",
            status=501,
            code="no_live",
        )

    return routes
