"""The record of the ingest role."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tributary.process.role import HttpRole
from tributary.settings import Settings

if TYPE_CHECKING:
    from flask import Blueprint

    from tributary.auth.guard import Guard
    from tributary.http.lane.lane import Lane


def _blueprint(settings: Settings, guard: Guard) -> Blueprint:
    from ingest import app

    return app.blueprint(settings, guard)


def _attach(settings: Settings, lane: Lane, guard: Guard) -> None:
    from ingest import recorder

    recorder.attach(settings, lane, guard)


ROLE = HttpRole(
    "ingest",
    description="Serve POST /record until SIGTERM.",
    example="tributary ingest --port 8001 --redis-url redis://redis:6379/0",
    writes=True,
    blueprint=_blueprint,
    attach=_attach,
)
