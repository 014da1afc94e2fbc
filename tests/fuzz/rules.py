"""What schemathesis has to be told in Python: a body it cannot write, and a rule with an exception.

Bodies of `application/x-ndjson` are text. What the schema does not allow must be refused, except
that `on_error=skip` passes over it and says so in a 200.
"""

from __future__ import annotations

from typing import Any

import schemathesis
from schemathesis.specs.openapi.checks import negative_data_rejection


@schemathesis.serializer("application/x-ndjson")
def lines(_context: Any, value: Any) -> bytes:
    """Text as it is; whatever else is to be sent, as the text of it."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


@schemathesis.check
def refused_or_skipped(context: Any, response: Any, case: Any) -> bool | None:
    """`negative_data_rejection` of recording."""
    is_skipped = (case.query or {}).get("on_error") == "skip" and response.status_code == 200
    if case.path != "/record" or is_skipped:
        return None
    return negative_data_rejection(context, response, case)
