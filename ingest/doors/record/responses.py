"""Response bodies of `POST /record`."""

from __future__ import annotations

import msgspec

from ingest.batch import Batch
from tributary.http.response import Response

_REJECTED_MAX = 100  # listed in a response
_SINGLE = Response(b'{"success":true}')


def ok(batch: Batch) -> Response:
    """200, with the number of readings of a batch and the rejected ones if they were skipped."""
    if batch.rejected is not None:
        rejected = [
            {"index": r.index, "field": r.field, "code": r.code, "message": r.message}
            for r in batch.rejected[:_REJECTED_MAX]
        ]
        body = {"success": True, "accepted": batch.readings, "rejected": rejected}
        return Response(msgspec.json.encode(body))
    if batch.is_batch:
        return Response(b'{"success":true,"accepted":%d}' % batch.readings)
    return _SINGLE


def duplicate(body: bytes) -> Response:
    """The first response again, marked as a duplicate."""
    return Response(b'{"success":true,"duplicate":true' + body.removeprefix(b'{"success":true'))
