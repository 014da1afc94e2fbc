"""`/record`: JSON as one reading, an array or columns, and NDJSON."""

from __future__ import annotations

from ingest.batch import Batch
from ingest.doors.door import Door, Mount, Request
from ingest.doors.record import fast, responses, strict
from ingest.limits import Rules
from tributary.auth.guard import RequestHeaders
from tributary.errors import Refused

# How clients label JSON: not at all, and as `curl -d` and fetch() with a string do.
_JSON_TYPES = frozenset(
    ("", "application/json", "text/json", "text/plain", "application/x-www-form-urlencoded")
)
_LINES_TYPES = frozenset(("application/x-ndjson", "application/ndjson", "application/jsonl"))


class RecordDoor(Door):
    """Tributary's own protocol, and the one that must be fast."""

    name = "record"
    mounts = (Mount("/record", ("POST",), "on_error=[a-z]{1,20}"),)
    ok = staticmethod(responses.ok)
    duplicate = staticmethod(responses.duplicate)

    def parse(self, request: Request, arrived_ms: int, rules: Rules) -> Batch:
        """Parse JSON at once if that is all there is to do, and else look at every header field."""
        head = request.head
        if head.is_plain is None:
            head.is_plain = _is_plain(head)
        if head.is_plain and not request.query:
            return fast.parse(request.body, arrived_ms, rules)
        rejected: list[Refused] | None = [] if _skips_errors(request) else None
        batch = decode(request.body, head.content_type, arrived_ms, rules, rejected)
        batch.rejected = rejected
        batch.idempotency_key = head.idempotency_key
        return batch


def decode(
    body: bytes,
    content_type: str,
    arrived_ms: int,
    rules: Rules,
    rejected: list[Refused] | None = None,
) -> Batch:
    """Decode a body by its content type.

    Args:
        body: after content decoding.
        content_type: the header as sent; empty if there was none.
        arrived_ms: the time of readings that contain none.
        rules: limits and names of the deployment.
        rejected: if given, bad readings are added to it and left out.

    Raises:
        Refused: 400, 413, 415 or 422; nothing of the request may be stored.
    """
    if content_type not in _JSON_TYPES:
        media_type = _media_type(content_type)
        if media_type in _LINES_TYPES:
            return strict.parse_lines(body, arrived_ms, rules, rejected)
        if media_type not in _JSON_TYPES:
            raise Refused(
                f"unsupported content type {content_type!r:.80}; "
                "send application/json or application/x-ndjson",
                status=415,
                code="unknown_content_type",
            )
    return fast.parse(body, arrived_ms, rules, rejected)


def _is_plain(head: RequestHeaders) -> bool:
    """Whether the header fields leave nothing to do but to parse JSON."""
    return (
        head.content_encoding == "identity"
        and head.idempotency_key is None
        and head.content_type in _JSON_TYPES
    )


def _skips_errors(request: Request) -> bool:
    """Whether bad readings are skipped: `on_error=skip`."""
    on_error = request.query.get("on_error", "refuse")
    if on_error not in ("refuse", "skip"):
        raise Refused(
            f"unsupported on_error={on_error!r:.40}; use skip, or omit it",
            status=400,
            code="invalid_on_error",
            field="on_error",
        )
    return on_error == "skip"


def _media_type(content_type: str) -> str:
    media_type, _, parameters = content_type.lower().partition(";")
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name == "charset" and value.strip('"') not in ("utf-8", "utf8", "us-ascii"):
            raise Refused(
                f"unsupported charset {value!r:.40}; send UTF-8",
                status=415,
                code="unknown_charset",
            )
    return media_type.strip()
