"""The job `audit`: recomputes one partition every night, each in turn.

A difference fails the job, so it is in `tributary jobs list` and in the count of failed jobs;
the log has each of them.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

from loguru import logger

from tributary.errors import TributaryError
from tributary.model import clock
from tributary.operate.audit import Auditor, PartitionReport, Watch, history_of
from tributary.settings import Settings
from tributary.store import keys, redis_client
from tributary.store.redis_client import failures

HOURS = (24.0, 6.0, 1.0)  # of the stream: less if reading it takes too long
READ_S = 5.0
# Compared per night: the job must not delay those that write the history.
SERIES_MAX = 5_000
_DAY_MS = 86_400_000
_LOGGED_MAX = 20


class DifferencesFound(TributaryError):
    """Stored values do not follow from the readings; see `tributary audit`."""


class TooLong(TributaryError):
    """Reading the stream takes too long for a job; run `tributary audit` instead."""


def share_of_night(now_ms: int, partitions: int, series: int) -> tuple[int, int]:
    """The part of the series of a partition whose turn it is, as number and count."""
    count = max(1, -(-series // SERIES_MAX))
    return now_ms // _DAY_MS // partitions % count, count


def run(settings: Settings, partition: int) -> dict[str, Any]:
    """Audit a partition as far as the last day, or less if it has too many readings.

    Raises:
        DifferencesFound: there are some.
        Unavailable: Redis or the database is.
    """
    with (
        contextlib.closing(redis_client.connect(settings)) as client,
        history_of(settings) as history,
    ):
        with failures():
            series = int(client.hlen(keys.rows(partition))) + int(
                client.hlen(keys.state(partition))
            )
        share = share_of_night(clock.utc_ms(), settings.partitions, series)
        for hours in HOURS:
            auditor = Auditor(client, settings, history=history, hours=hours, share=share)
            with contextlib.suppress(TooLong):
                return _reported(auditor.audit(partition, _deadline(READ_S)))
    log = logger.bind(action="audit_skipped", partition=partition)
    log.warning(str(TooLong()))
    return {"partition": partition, "slots": 0, "readings": 0}


def _deadline(seconds: float) -> Watch:
    until_s = time.monotonic() + seconds

    def watch(_read: int, _total: int) -> None:
        if time.monotonic() > until_s:
            raise TooLong

    return watch


def _reported(found: PartitionReport) -> dict[str, Any]:
    partition = found.partition
    for difference in found.differences[:_LOGGED_MAX]:
        log = logger.bind(action="audit_difference", partition=partition)
        log.error(str(difference))
    if found.differences_found:
        raise DifferencesFound(
            f"partition {partition} has {found.differences_found} differences between what is "
            f"stored and the readings; run `tributary audit --partition {partition} --json`"
        )
    return {"partition": partition, "slots": found.slots, "readings": found.readings}
