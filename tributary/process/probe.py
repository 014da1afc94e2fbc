"""`GET /readyz` of an HTTP server on this machine."""

from __future__ import annotations

import http.client
import json

_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - requested, not bound


def why_not_ready(host: str, port: int, timeout_s: float) -> str | None:
    """Why the server that listens on an address is not ready, or None if it is."""
    host = _LOOPBACK_OF.get(host, host)
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        return f"no response from {host}:{port}: {error or type(error).__name__}"
    finally:
        connection.close()
    if response.status == http.HTTPStatus.OK:
        return None
    return f"{host}:{port} is not ready: {_reasons(body) or response.status}"


def _reasons(body: bytes) -> str:
    try:
        return "; ".join(json.loads(body)["reasons"])
    except (ValueError, LookupError, TypeError):
        return ""
