"""The record of the api role."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tributary.process.role import HttpRole
from tributary.settings import Settings

if TYPE_CHECKING:
    from flask import Blueprint

    from tributary.auth.guard import Guard
    from tributary.http.lane.lane import Lane


def _blueprint(settings: Settings, guard: Guard) -> Blueprint:
    from api import app

    return app.blueprint(settings, guard)


def _attach(settings: Settings, lane: Lane, guard: Guard) -> None:
    from api import collector

    collector.attach(settings, lane, guard)


ROLE = HttpRole(
    "api",
    description="Serve /collect, the read API and the dashboard until SIGTERM.",
    example="tributary api --port 8001 --redis-url redis://redis:6379/0",
    writes=False,
    blueprint=_blueprint,
    attach=_attach,
)
