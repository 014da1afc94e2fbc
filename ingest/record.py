"""`POST /record` as a pure function: a body and its content type in, readings or a refusal out."""

from __future__ import annotations

from ingest.forms import fast, strict
from ingest.rules import Accepted, Rules
from tributary import frame
from tributary.errors import Refused

# What clients say of JSON: nothing at all, `curl -d`, and fetch() with a string as body.
_JSON_TYPES = frozenset(
    ("", "application/json", "text/json", "text/plain", "application/x-www-form-urlencoded")
)
_LINES_TYPES = frozenset(("application/x-ndjson", "application/ndjson", "application/jsonl"))


def accept(body: bytes, content_type: str, arrived_ms: int, rules: Rules) -> Accepted:
    """The readings of one request, partitioned.

    Raises:
        Refused: 400, 413, 415 or 422; nothing of the request may then be stored.
    """
    if len(body) > rules.body_max_bytes:
        raise Refused(
            f"the body has {len(body)} bytes; send at most {rules.body_max_bytes}",
            status=413,
            code="body_too_large",
        )
    if content_type not in _JSON_TYPES:
        media_type = _media_type(content_type)
        if media_type in _LINES_TYPES:
            return strict.parse_lines(body, arrived_ms, rules)
        if media_type not in _JSON_TYPES:
            raise Refused(
                f"content type {content_type!r:.80} is not known; "
                "send application/json or application/x-ndjson",
                status=415,
                code="unknown_content_type",
            )
    return fast.parse(body, arrived_ms, rules)


def frames(accepted: Accepted) -> list[tuple[int, int, bytes]]:
    """(partition, readings, frame) for each partition the readings belong to."""
    return [
        (partition, frame.readings_in(blocks), frame.pack(blocks))
        for partition, blocks in accepted.blocks.items()
    ]


def answer(accepted: Accepted) -> bytes:
    """The body of a 200."""
    if accepted.is_batch:
        return b'{"success":true,"accepted":%d}' % accepted.readings
    return b'{"success":true}'


def _media_type(content_type: str) -> str:
    media_type, _, parameters = content_type.lower().partition(";")
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name == "charset" and value.strip('"') not in ("utf-8", "utf8", "us-ascii"):
            raise Refused(
                f"charset {value!r:.40} is not known; send UTF-8",
                status=415,
                code="unknown_charset",
            )
    return media_type.strip()
