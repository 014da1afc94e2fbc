"""`POST /record` as a pure function: a body and its content type in, readings or a refusal out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from ingest.doors.record import fast, strict
from ingest.limits import Accepted, Rules
from tributary.errors import Refused
from tributary.model import frame
from tributary.store.stream import Frame

_REJECTED_TOLD_MAX = 100

# What clients say of JSON: nothing at all, `curl -d`, and fetch() with a string as body.
JSON_TYPES = frozenset(
    ("", "application/json", "text/json", "text/plain", "application/x-www-form-urlencoded")
)
_LINES_TYPES = frozenset(("application/x-ndjson", "application/ndjson", "application/jsonl"))


def accept(
    body: bytes,
    content_type: str,
    arrived_ms: int,
    rules: Rules,
    rejected: list[Refused] | None = None,
) -> Accepted:
    """The readings of one request, partitioned.

    Args:
        body: without content encoding.
        content_type: as sent; empty if none was.
        arrived_ms: the time of readings that bring none.
        rules: limits and names of the deployment.
        rejected: if given, bad readings are put here and passed over.

    Raises:
        Refused: 400, 413, 415 or 422; nothing of the request may then be stored.
    """
    if len(body) > rules.body_max_bytes:
        raise too_large(len(body), rules.body_max_bytes)
    if content_type not in JSON_TYPES:
        media_type = _media_type(content_type)
        if media_type in _LINES_TYPES:
            return strict.parse_lines(body, arrived_ms, rules, rejected)
        if media_type not in JSON_TYPES:
            raise Refused(
                f"content type {content_type!r:.80} is not known; "
                "send application/json or application/x-ndjson",
                status=415,
                code="unknown_content_type",
            )
    return fast.parse(body, arrived_ms, rules, rejected)


def too_large(length: int | None, max_bytes: int) -> Refused:
    """413 for a body beyond the limit; a chunked one has no length before its end."""
    long = "more bytes than allowed" if length is None else f"{length} bytes"
    return Refused(
        f"the body has {long}; send at most {max_bytes}", status=413, code="body_too_large"
    )


def frames(accepted: Accepted) -> list[Frame]:
    """One frame for each partition the readings belong to."""
    return [
        Frame(partition, frame.readings_in(blocks), frame.pack(blocks))
        for partition, blocks in accepted.blocks.items()
    ]


def answer(accepted: Accepted, rejected: list[Refused] | None = None) -> bytes:
    """The body of a 200."""
    if rejected is not None:
        told = [
            {"index": r.index, "field": r.field, "code": r.code, "message": r.message}
            for r in rejected[:_REJECTED_TOLD_MAX]
        ]
        body = {"success": True, "accepted": accepted.readings, "rejected": told}
        return msgspec.json.encode(body)
    if accepted.is_batch:
        return b'{"success":true,"accepted":%d}' % accepted.readings
    return b'{"success":true}'


def duplicate(answer: bytes) -> bytes:
    """The answer of the first time, marked as given again."""
    return b'{"success":true,"duplicate":true' + answer.removeprefix(b'{"success":true')


def devices(accepted: Accepted) -> Iterable[str]:
    """The device of each block; of a column for several devices, each of them."""
    if accepted.readings == 1:  # the usual request, and no generator for it
        return [block.device for [block] in accepted.blocks.values()]  # type: ignore[misc]
    return _all_devices(accepted)


def _all_devices(accepted: Accepted) -> Iterator[str]:
    for blocks in accepted.blocks.values():
        for block in blocks:
            if isinstance(block.device, str):
                yield block.device
            else:
                yield from block.device


def readings_by_device(accepted: Accepted) -> dict[str, int]:
    """How many readings each device brings."""
    counts: Counter[str] = Counter()
    for blocks in accepted.blocks.values():
        for block in blocks:
            if isinstance(block.device, str):
                counts[block.device] += frame.readings_in([block])
            else:
                counts.update(block.device)
    return counts


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
