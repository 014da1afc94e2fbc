"""What stands at the path of live updates where there is no event loop to answer them."""

from __future__ import annotations

from flask import Blueprint, Response

from api.live.stream import PATH
from tributary.errors import Refused


def blueprint() -> Blueprint:
    """What Flask says at the path of Live when nothing on an event loop stands before it."""
    routes = Blueprint("live", __name__)

    @routes.get(PATH)
    def get_live() -> Response:
        raise Refused(
            "this server runs on threads (--no-lane), which cannot hold listeners open; "
            "start it without --no-lane, or ask /collect every second",
            status=501,
            code="no_live",
        )

    return routes
