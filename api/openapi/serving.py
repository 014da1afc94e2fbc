"""The routes that say how a process is."""

from __future__ import annotations

from typing import Any

from api.openapi import parts
from api.openapi.parts import JSON, ref


def paths() -> dict[str, Any]:
    """The operations of every HTTP role."""
    text = {"text/plain": {"schema": {"type": "string"}}}
    not_ready = {
        "description": "It cannot serve now, for these reasons",
        "content": {JSON: {"schema": ref("NotReady")}},
    }
    this = {
        "description": "This document",
        "content": {JSON: {"schema": {"type": "object", "required": ["openapi", "paths"]}}},
    }
    return {
        "/healthz": {
            "get": parts.operation(
                "isHealthy", "operate", "The process is up", parts.answer("Healthy", "It is")
            )
        },
        "/readyz": {
            "get": parts.operation(
                "isReady",
                "operate",
                "The process can serve",
                {**parts.answer("Ready", "It can"), "503": not_ready},
            )
        },
        "/metrics": {
            "get": parts.operation(
                "getMetrics",
                "operate",
                "Counts, for Prometheus",
                {
                    "200": {"description": "Prometheus text format", "content": text},
                    **parts.errors(401, 403, 503),
                },
            )
        },
        "/openapi.json": {
            "get": parts.operation("getDocument", "operate", "This document", {"200": this})
        },
    }
