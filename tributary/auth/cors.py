"""Which pages of other hosts may read the answers: none, unless their origins are listed. Pure.

Origins are compared letter by letter with those of the setting; there is no pattern and no `*`,
and no credentials are shared: a page sends a token itself or has none.
"""

from __future__ import annotations

import re

_ORIGIN = re.compile(r"https?://(?:[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?")
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST",
    "Access-Control-Allow-Headers": (
        "Authorization, Content-Encoding, Content-Type, Idempotency-Key, If-None-Match, "
        "Last-Event-ID"
    ),
    "Access-Control-Max-Age": "600",
}


def parse_origins(text: str) -> frozenset[str]:
    """`https://a.example, http://localhost:3000` → origins; an empty text is none.

    Raises:
        ValueError: one of them is not an origin.
    """
    origins = frozenset(filter(None, (part.strip() for part in text.split(","))))
    for origin in sorted(origins):
        if _ORIGIN.fullmatch(origin) is None:
            raise ValueError(
                f"{origin!r} is not an origin; write it as a browser does, "
                "like https://app.example or http://localhost:3000"
            )
    return origins


def headers(origins: frozenset[str], origin: str | None, method: str) -> dict[str, str]:
    """What an answer must carry so that a page from `origin` may read it.

    Args:
        origins: those allowed; empty is off, and then nothing is ever added.
        origin: of the page that asks, None if no browser says so.
        method: of the request; OPTIONS is the browser asking beforehand.
    """
    if not origins:
        return {}
    if origin not in origins:
        return {"Vary": "Origin"}
    allowed = {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
    if method == "OPTIONS":
        return {**allowed, **_PREFLIGHT}
    return {**allowed, "Access-Control-Expose-Headers": "ETag, Retry-After"}
