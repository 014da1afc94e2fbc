"""Live beside another application: a server on the event loop, Flask behind it, both on a port."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from flask import Blueprint, Response

from api.live.stream import PATH, Live, Receive, Scope, Send
from tributary.errors import Refused

App = Callable[[Scope, Receive, Send], Awaitable[None]]


def beside(live: Live, rest: App) -> App:
    """Live answers its path and the lifespan; the rest is answered by the rest."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        is_ours = scope["type"] == "lifespan" or scope["path"] == PATH
        await (live if is_ours else rest)(scope, receive, send)

    return app


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
