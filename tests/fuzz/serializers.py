"""How bodies are written whose media types schemathesis does not know."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(_context: Any, value: Any) -> bytes:
    """Text as it is; whatever else is to be sent, as the text of it."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")
