"""A response that either front end, the lane or Flask, can send."""

from __future__ import annotations

from typing import NamedTuple

JSON = "application/json"


class Response(NamedTuple):
    """Body, status and header fields; 204 has neither a body nor a content type."""

    body: bytes = b""
    status: int = 200
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
