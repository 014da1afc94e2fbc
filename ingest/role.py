"""The record of the ingest role."""

from __future__ import annotations

from tributary.process.role import HttpRole, on_call

ROLE = HttpRole(
    "ingest",
    description="Serve POST /record until SIGTERM.",
    example="tributary ingest --port 8001 --redis-url redis://redis:6379/0",
    writes=True,
    blueprint=on_call("ingest.app:blueprint"),
    attach=on_call("ingest.recorder:attach"),
)
