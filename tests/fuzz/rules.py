"""Extensions of schemathesis: a serializer, and a check with an exception.

Bodies of `application/x-ndjson` are text. Requests that violate the schema must be rejected, but
`on_error=skip` reports invalid readings in a 200.
"""

from __future__ import annotations

from typing import Any

import schemathesis
from schemathesis.specs.openapi.checks import negative_data_rejection


@schemathesis.serializer("application/x-ndjson")
def lines(_context: Any, value: Any) -> bytes:
    """Send text unchanged, and any other value as its text."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


@schemathesis.check
def rejected_or_skipped(context: Any, response: Any, case: Any) -> bool | None:
    """`negative_data_rejection` for recording."""
    is_skipped = (case.query or {}).get("on_error") == "skip" and response.status_code == 200
    if case.path != "/record" or is_skipped:
        return None
    return negative_data_rejection(context, response, case)
