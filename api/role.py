"""The record of the api role."""

from __future__ import annotations

from tributary.process.role import HttpRole, on_call

ROLE = HttpRole(
    "api",
    description="Serve /collect, the read API and the dashboard until SIGTERM.",
    example="tributary api --port 8001 --redis-url redis://redis:6379/0",
    writes=False,
    blueprint=on_call("api.app:blueprint"),
    attach=on_call("api.collector:attach"),
)
