"""The routes of the api role in Flask. The lane serves some of them faster."""

from __future__ import annotations

from flask import Blueprint

from api import dashboard
from api.live import fallback
from api.openapi import documentation
from api.read import access, handlers
from tributary.auth.guard import Guard
from tributary.settings import Settings
from tributary.store import redis_client


def blueprint(settings: Settings, guard: Guard) -> Blueprint:
    """`/collect`, the read API, live updates, the dashboard and the OpenAPI document.

    Raises:
        Misconfigured: the catalogue of metrics is invalid.
    """
    client = redis_client.connect(settings)
    routes = Blueprint("api", __name__)
    guarded = handlers.blueprint(settings, client)
    guarded.before_request(access.require_scope(guard))
    routes.register_blueprint(guarded)
    routes.register_blueprint(documentation.blueprint(settings))
    routes.register_blueprint(dashboard.blueprint(settings, client, guard))
    routes.register_blueprint(fallback.blueprint())
    return routes
