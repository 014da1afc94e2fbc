"""The operations for operators and monitoring."""

from __future__ import annotations

from typing import Any

from api.openapi import operation_parts as parts
from api.openapi.operation_parts import content, ref

_STATUS = """\
Counts are readings since the data was created:
accepted = applied + late + dead + lost + pending.
The response is at most a second old. It covers the whole deployment, whatever devices the token
is for."""


def paths() -> dict[str, Any]:
    """The operations, by path."""
    status = {**parts.ok("Status", "The status of the deployment"), **parts.errors(401, 403, 503)}
    ready = {
        **parts.ok("Ready", "The process is ready"),
        "503": {"description": "The process is not ready", **content(ref("NotReady"))},
    }
    metrics = {
        "200": {"description": "Prometheus text", **content({"type": "string"}, "text/plain")},
        **parts.errors(401, 403, 503),
    }
    document = {
        "200": {
            "description": "This document",
            **content({"type": "object", "required": ["openapi", "paths"]}),
        }
    }
    return {
        "/api/v1/status": _get("getStatus", "Counts, lag and aggregators", status, _STATUS),
        "/healthz": _get(
            "isHealthy", "Liveness; makes no request to Redis", parts.ok("Healthy", "It is up")
        ),
        "/readyz": _get("isReady", "Readiness", ready),
        "/metrics": _get("getMetrics", "Metrics for Prometheus", metrics),
        "/openapi.json": _get("getDocument", "This document", document),
    }


def _get(
    operation_id: str, summary: str, responses: parts.Part, description: str = ""
) -> dict[str, Any]:
    more = {"description": description} if description else {}
    return {"get": parts.operation(operation_id, "operate", summary, responses, **more)}
