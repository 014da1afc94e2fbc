"""CORS: pages of other origins may read responses only if the origin is listed. Pure.

Origins are compared exactly; there are no patterns and no `*`. Credentials are not shared: a
page sends its own token, or none.
"""

from __future__ import annotations

import re

_ORIGIN = re.compile(r"https?://(?:[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?")
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST",
    "Access-Control-Allow-Headers": (
        "Authorization, Content-Encoding, Content-Type, Idempotency-Key, If-None-Match, "
        "Last-Event-ID, X-Request-Id"
    ),
    "Access-Control-Max-Age": "600",
}


def parse_origins(text: str) -> frozenset[str]:
    """`https://a.example, http://localhost:3000` → origins; an empty text means none.

    Raises:
        ValueError: a part is not an origin.
    """
    origins = frozenset(filter(None, (part.strip() for part in text.split(","))))
    for origin in sorted(origins):
        checked_origin(origin)
    return origins


def checked_origin(text: str) -> str:
    """The text; raises `ValueError` unless it is one origin."""
    if _ORIGIN.fullmatch(text) is None:
        raise ValueError(
            f"{text!r:.300} is not an origin; write it as a browser does, "
            "like https://app.example or http://localhost:3000"
        )
    return text


def headers(origins: frozenset[str], origin: str | None, method: str) -> dict[str, str]:
    """The header fields that allow a page from `origin` to read the response.

    If no `origins` are allowed, CORS is off and no field is added; OPTIONS is a preflight.
    """
    if not origins:
        return {}
    if origin not in origins:
        return {"Vary": "Origin"}
    allowed = {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
    if method == "OPTIONS":
        return {**allowed, **_PREFLIGHT}
    return {**allowed, "Access-Control-Expose-Headers": "ETag, Retry-After, X-Request-Id"}
