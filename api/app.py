"""The routes of the api role in Flask. The lane serves some of them faster."""

from __future__ import annotations

from flask import Blueprint, Response

from api import dashboard
from api.exports import handlers as exports
from api.live import asgi
from api.openapi import documentation
from api.prometheus import routes as prometheus
from api.read import alert_handlers, handlers, silence_handlers
from tributary.auth.guard import Guard
from tributary.errors import Refused
from tributary.http import flask_app
from tributary.settings import Settings
from tributary.store import redis_client


def blueprint(settings: Settings, guard: Guard) -> Blueprint:
    """`/collect`, the read API, the Prometheus API, exports, live updates, the dashboard and the OpenAPI document.

    Raises:
        Misconfigured: the catalogue of metrics is invalid.
    """
    client = redis_client.connect(settings)
    routes = Blueprint("api", __name__)
    reader = handlers.make_reader(settings, client)
    guarded = handlers.blueprint(settings, client, reader)
    guarded.register_blueprint(alert_handlers.blueprint(settings, client))
    guarded.before_request(flask_app.require_scope(guard, "collect"))
    routes.register_blueprint(guarded)
    routes.register_blueprint(silence_handlers.blueprint(settings, client, guard))
    routes.register_blueprint(prometheus.blueprint(settings, guard, reader))
    routes.register_blueprint(exports.blueprint(settings, client, guard))
    routes.register_blueprint(documentation.blueprint(settings))
    routes.register_blueprint(dashboard.blueprint(settings, client, guard))
    routes.add_url_rule(asgi.PATH, view_func=get_live)
    return routes


def get_live() -> Response:
    """501; with the lane, requests for live updates do not reach Flask."""
    raise Refused(
        "live updates need the event loop, and this server runs with --no-lane; "
        "start it without --no-lane, or poll /collect",
        status=501,
        code="no_live",
    )
