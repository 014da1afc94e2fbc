"""The api role over Flask: complete by itself; the lane only makes it faster."""

from __future__ import annotations

import redis
from flask import Blueprint, Flask

from api import access, dashboard, documentation, read
from api.live import mount
from tributary.auth.guard import Guard
from tributary.http import flask_app
from tributary.operate import metrics, readiness
from tributary.settings import Settings
from tributary.store import redis_client


def blueprint(settings: Settings, client: redis.Redis, guard: Guard) -> Blueprint:
    """`/collect`, the read API behind the guard, and the documents of both.

    Raises:
        Misconfigured: the catalogue of metrics cannot be used.
    """
    routes = Blueprint("api", __name__)
    guarded = read.blueprint(settings, client)
    guarded.before_request(access.require_scope(guard))
    routes.register_blueprint(guarded)
    routes.register_blueprint(documentation.blueprint(settings))
    routes.register_blueprint(dashboard.blueprint(settings, client, guard))
    routes.register_blueprint(mount.blueprint())
    return routes


def create_app(settings: Settings, guard: Guard) -> Flask:
    """The api role alone."""
    client = redis_client.connect(settings)
    ready = readiness.check(client, writes=False, partitions=settings.partitions)
    told = metrics.blueprint(client, settings, guard)
    routes = blueprint(settings, client, guard)
    return flask_app.make_app(
        __name__,
        routes,
        told,
        flask_app.health([ready]),
        flask_app.cors_headers(settings),
        flask_app.browser_checks(guard),
    )
