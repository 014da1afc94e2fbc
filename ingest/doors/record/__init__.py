"""`/record`: JSON as one reading, an array or columns, NDJSON, forms and query strings."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ingest.batch import Batch
from ingest.doors import senml
from ingest.doors.door import Door, Mount, Request, Single, skips_errors
from ingest.doors.record import fast, form, json_text, responses, strict
from ingest.limits import Rules
from tributary.auth.guard import RequestHeaders
from tributary.errors import Refused
from tributary.model import reading

_FORM_TYPE = "application/x-www-form-urlencoded"
# How clients label JSON: not at all, and as `curl -d` and fetch() with a string do.
_JSON_TYPES = frozenset(("", "application/json", "text/json", "text/plain", _FORM_TYPE))
_LINES_TYPES = frozenset(("application/x-ndjson", "application/ndjson", "application/jsonl"))
_CONTROLS = frozenset(("token",))  # parameters of a query string that are not part of the reading


class RecordDoor(Door):
    """Tributary's own protocol, and the one that must be fast."""

    name = "record"
    single = Single(fast.single, responses.SINGLE)
    mounts = (Mount("/record", ("POST",), "on_error=[a-z]{1,20}|token=[A-Za-z0-9_-]{1,100}"),)
    ok = staticmethod(responses.ok)
    duplicate = staticmethod(responses.duplicate)

    def parse(self, request: Request, arrived_ms: int, rules: Rules) -> Batch:
        """Parse JSON at once if that is all there is to do, and else look at every header field."""
        head = request.head
        if head.is_plain and not request.query:  # fast code: most requests
            try:
                return fast.attempt(request.body, arrived_ms, rules)
            except fast.UNCERTAIN:
                return decode(request.body, head.content_type, arrived_ms, rules, is_certain=False)
        if head.is_plain is None:
            head.is_plain = _is_plain(head)
            return self.parse(request, arrived_ms, rules)
        _reject_fields(request.query)
        rejected: list[Refused] | None = [] if skips_errors(request.query) else None
        batch = decode(request.body, head.content_type, arrived_ms, rules, rejected)
        batch.rejected = rejected
        batch.idempotency_key = head.idempotency_key
        return batch


class QueryStringDoor(Door):
    """`GET /record?device=&temperature=`, for devices that can only request a URL."""

    name = "record_by_get"
    mounts = (Mount("/record", ("GET",), "[A-Za-z0-9._~:/=&+%,-]+"),)
    ok = staticmethod(responses.ok)
    duplicate = staticmethod(responses.duplicate)

    def parse(self, request: Request, arrived_ms: int, rules: Rules) -> Batch:
        """Parse the query string like a form."""
        if not request.query.keys() - _CONTROLS:
            raise Refused(
                "GET /record without a query string records nothing; send "
                "GET /record?device=car-7&temperature=23.5, or the readings to POST /record",
                status=405,
                code="method_not_allowed",
                headers={"Allow": "GET, POST"},
            )
        if request.query.repeated:
            raise json_text.duplicate_name(request.query.repeated[0])
        if request.body:
            raise Refused(
                "GET /record has a body; send the readings in the query string, or with POST",
                status=400,
                code="wrong_shape",
            )
        fields = form.from_fields(request.query, _CONTROLS)
        batch = strict.one(fields, arrived_ms, rules)
        batch.idempotency_key = request.head.idempotency_key
        # A key is for one reading: its digest is that of the body.
        request.body = json.dumps(fields, sort_keys=True).encode()
        return batch


def decode(  # noqa: PLR0913 - what a body is decoded by
    body: bytes,
    content_type: str,
    arrived_ms: int,
    rules: Rules,
    rejected: list[Refused] | None = None,
    *,
    is_certain: bool = True,
) -> Batch:
    """Decode a body by its content type; one that begins like JSON is JSON whatever its type.

    Args:
        body: after content decoding.
        content_type: the header as sent; empty if there was none.
        arrived_ms: the time of readings that contain none.
        rules: limits and names of the deployment.
        rejected: if given, bad readings are added to it and left out.
        is_certain: whether the fast parser may accept it.

    Raises:
        Refused: 400, 413, 415 or 422; nothing of the request may be stored.
    """
    media_type = content_type if content_type in _JSON_TYPES else _media_type(content_type)
    if media_type == senml.MEDIA_TYPE:
        return senml.parse(body, arrived_ms, rules)
    if media_type in _LINES_TYPES:
        return strict.parse_lines(body, arrived_ms, rules, rejected)
    is_json = body.removeprefix(json_text.BOM).lstrip()[:1] in (b"{", b"[")
    if media_type == _FORM_TYPE and not is_json:
        return strict.parse_form(body, arrived_ms, rules, rejected)
    if media_type not in _JSON_TYPES and not is_json:
        raise Refused(
            f"unsupported content type {content_type!r:.80}; send application/json, "
            "application/x-ndjson or application/x-www-form-urlencoded to POST /record; "
            "/docs lists the formats",
            status=415,
            code="unknown_content_type",
        )
    parse = fast.parse if is_certain else strict.parse
    return parse(body, arrived_ms, rules, rejected)


def _is_plain(head: RequestHeaders) -> bool:
    """Whether the header fields leave nothing to do but to parse JSON."""
    return (
        head.content_encoding == "identity"
        and head.idempotency_key is None
        and head.content_type in _JSON_TYPES
    )


def _reject_fields(query: Mapping[str, str]) -> None:
    """Reject a device or a time in the query string of a POST: they would be ignored."""
    for name in query:
        if name in reading.RESERVED:
            raise Refused(
                f"POST /record does not read {name!r} from the query string; send it in the body, "
                "or the whole reading with GET /record",
                status=400,
                code="unknown_parameter",
                field=name,
            )


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
