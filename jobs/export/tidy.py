"""The job `tidy_exports`. It runs every minute, so it imports nothing that writes exports."""

from __future__ import annotations

import contextlib

from tributary.model.clock import utc_ms
from tributary.operate import exports
from tributary.settings import Settings
from tributary.store import redis_client

UNUSED_AFTER_MS = 300_000  # a job reports more often


def run(settings: Settings) -> dict[str, int]:
    """Delete what has expired, and queue exports again whose job is gone.

    Raises:
        Unavailable: Redis is.
    """
    with contextlib.closing(redis_client.connect(settings)) as client:
        stale = exports.tidy(client, settings, utc_ms(), UNUSED_AFTER_MS)
    for id_ in stale:
        exports.enqueue(settings, id_)
    return {"queued": len(stale)}
