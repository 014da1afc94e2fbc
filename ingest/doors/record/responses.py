"""Response bodies of `/record`."""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.batch import Batch
from tributary.http.error_body import encodable
from tributary.http.response import Response

_REJECTED_MAX = 100  # listed in a response
SINGLE = Response(b'{"success":true}')


def ok(batch: Batch) -> Response:
    """200, with the number of readings of a batch, and what was left out."""
    if batch.rejected is None and not batch.ignored:
        if batch.is_batch:
            return Response(b'{"success":true,"accepted":%d}' % batch.readings)
        return SINGLE
    body: dict[str, Any] = {"success": True}
    if batch.is_batch or batch.rejected is not None:
        body["accepted"] = batch.readings
    if batch.rejected is not None:
        body["rejected"] = [
            {
                "index": r.index,
                "field": None if r.field is None else encodable(r.field),
                "code": r.code,
                "message": encodable(r.message),
            }
            for r in batch.rejected[:_REJECTED_MAX]
        ]
    if batch.ignored:
        body["ignored"] = [*map(encodable, batch.ignored)]
    return Response(msgspec.json.encode(body))


def duplicate(body: bytes) -> Response:
    """The first response again, marked as a duplicate."""
    return Response(b'{"success":true,"duplicate":true' + body.removeprefix(b'{"success":true'))
