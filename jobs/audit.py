"""The job `audit`: recomputes one partition every night, each in turn.

A difference fails the job, so it is in `tributary jobs list` and in the count of failed jobs;
the log has each of them.
"""

from __future__ import annotations

import contextlib
from typing import Any

from loguru import logger

from tributary.errors import TributaryError
from tributary.operate import status
from tributary.operate.audit import Auditor, history_of
from tributary.settings import Settings
from tributary.store import redis_client

HOURS = 24.0
_DAY_MS = 86_400_000
_LOGGED_MAX = 20


class DifferencesFound(TributaryError):
    """Stored values do not follow from the readings; see `tributary audit`."""


def partition_of_day(now_ms: int, partitions: int) -> int:
    """The partition whose turn it is on the day of a time."""
    return now_ms // _DAY_MS % partitions


def run(settings: Settings, partition: int) -> dict[str, Any]:
    """Audit a partition as far as the last day.

    Raises:
        DifferencesFound: there are some.
        Unavailable: Redis or the database is.
    """
    client = redis_client.connect(settings)
    with contextlib.closing(client), history_of(settings) as history:
        settings = status.with_stored_settings(client, settings)
        found = Auditor(client, settings, history=history, hours=HOURS).audit(partition)
    for difference in found.differences[:_LOGGED_MAX]:
        log = logger.bind(action="audit_difference", partition=partition)
        log.error(str(difference))
    if found.differences_found:
        raise DifferencesFound(
            f"partition {partition} has {found.differences_found} differences between what is "
            f"stored and the readings; run `tributary audit --partition {partition} --json`"
        )
    return {"partition": partition, "slots": found.slots, "readings": found.readings}
