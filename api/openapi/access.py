"""The scope of the token that each operation needs, as its `security`."""

from __future__ import annotations

from typing import Any

from tributary.auth.tokens import SCOPES

_NO_TOKEN = ("/healthz", "/readyz", "/openapi.json")
# Operations whose scope is not the name of their tag, by path and method.
_SCOPES = {
    ("/query", "get"): "record",
    ("/query", "post"): "record",
    ("/api/v1/alerts/silences", "post"): "operate",
    ("/api/v1/alerts/silences", "delete"): "operate",
    ("/api/v1/status", "get"): "collect",
}


def add(paths: dict[str, Any]) -> None:
    """Add the requirement to the operations that have none; `{}` is a deployment without tokens."""
    for path, methods in paths.items():
        for method, operation in methods.items():
            if path in _NO_TOKEN:
                operation["security"] = []
            scope = _SCOPES.get((path, method), operation["tags"][0])
            assert scope in SCOPES
            operation.setdefault("security", [{}, {"bearer": [scope]}, {"basic": [scope]}])
