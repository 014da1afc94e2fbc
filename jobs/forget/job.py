"""The jobs `forget` and `forget_silent`.

A tombstone is finished in steps, each of which may be repeated: once the aggregator and the
history have passed it, everything before it that names its devices is deleted; then the names
are looked for everywhere; then they leave the record of the tombstone; then the files of Redis
are rewritten; then the record goes. A job that is killed begins again at the step it was in.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

import redis
from loguru import logger

from jobs import archive
from jobs.forget import finish, proof, raw_rows, streams
from tributary import failpoints
from tributary.history import store
from tributary.history.database import Database
from tributary.history.position import Position
from tributary.model import reading
from tributary.model.clock import utc_ms
from tributary.model.window import parse_duration_ms
from tributary.operate import alert_delivery, exports
from tributary.operate.forgetting import history_rows, records, requests
from tributary.settings import Settings
from tributary.store import keys, redis_client
from tributary.store.redis_client import failures
from tributary.store.tombstone import APPLIED, ASKED, ERASED, Record, parts_of

NAME, SILENT = "forget", "forget_silent"
_DOCUMENTS_PER_PAGE = 1_000


def run(settings: Settings) -> dict[str, int]:
    """Finish the tombstones that every reader has passed; returns how many of how many.

    Raises:
        Unavailable: Redis or the history is, or a name is still somewhere.
    """
    with contextlib.closing(redis_client.connect(settings)) as client:
        for partition in range(settings.partitions):
            streams.prune_holes(client, partition)
        waiting, behind = _erase_passed(client, settings)
        for partition in sorted(behind):  # now, and not with the next turn of the schedule
            archive.run(settings, partition)
        if behind:
            waiting, _ = _erase_passed(client, settings)
        finished = finish.finish(client, settings)
    return {"finished": finished, "waiting": waiting}


def _erase_passed(client: redis.Redis, settings: Settings) -> tuple[int, set[int]]:
    with history_rows.opened(settings) as db:
        job = _Run(client, settings, db)
        return job.erase_passed(), job.behind


def forget_silent(settings: Settings) -> dict[str, int]:
    """Ask to forget the devices whose newest reading is older than `forget_after`.

    A device that records before its tombstone is reached is kept.

    Raises:
        Unavailable: Redis is, or too many entries are unread.
    """
    if not settings.forget_after:
        return {"asked": 0}
    limit = reading.rfc3339(utc_ms() - parse_duration_ms(settings.forget_after))
    with contextlib.closing(redis_client.connect(settings)) as client:
        asked = {device for each in records.read(client, range(settings.partitions))
                 for device in each.tombstone.devices}  # fmt: skip
        silent = [
            device
            for partition in range(settings.partitions)
            for device in _silent(client, partition, limit)
            if device not in asked
        ]
        if silent:
            request = requests.ask(client, settings, silent, limit)
            log = logger.bind(action="forget_silent", request=request, devices=len(silent))
            log.info("forgetting silent devices")
    return {"asked": len(silent)}


def _silent(client: redis.Redis, partition: int, limit: str) -> Iterable[str]:
    """The devices of a partition without a reading at or after a time."""
    page: list[str] = []
    for name in requests.names(client, partition):
        page.append(name)
        if len(page) == _DOCUMENTS_PER_PAGE:
            yield from _older(client, partition, page, limit)
            page = []
    yield from _older(client, partition, page, limit)


def _older(client: redis.Redis, partition: int, page: list[str], limit: str) -> Iterable[str]:
    if not page:
        return
    with failures():
        documents: Any = client.hmget(keys.latest(partition), page)
    for name, text in zip(page, documents, strict=True):
        if text is not None and requests.recorded_at(text) < limit:
            yield name


class _Run:
    """One run of the job, up to the point where the names leave the records."""

    def __init__(self, client: redis.Redis, settings: Settings, db: Database | None) -> None:
        self._client = client
        self._settings = settings
        self._db = db
        self._partitions = range(settings.partitions)
        self.behind: set[int] = set()  # partitions whose history has not reached a tombstone

    def erase_passed(self) -> int:
        """Delete what tombstones that everyone has passed leave; returns how many wait."""
        applied_to = [self._hwm(partition) for partition in self._partitions]
        found = records.read(self._client, self._partitions)  # after hwm: none of these is older
        archived_to = self._archived_to()
        passed: list[Record] = []
        waiting = 0
        for record in found:
            if record.stage == ASKED and record.order <= applied_to[record.partition]:
                self._ask_again(record)
            if record.stage == APPLIED and self._is_archived(record, archived_to):
                passed.append(record)
            elif record.stage != ERASED:
                waiting += 1
                whom = "aggregators" if record.stage == ASKED else "history"
                self.behind |= {record.partition} if record.stage == APPLIED else set()
                finish.note(self._client, record, {"waiting": whom})
        if passed:
            self._erase(passed)
        return waiting

    def _hwm(self, partition: int) -> tuple[int, int]:
        with failures():
            hwm: Any = self._client.hget(keys.meta(partition), "hwm")
        return parts_of((hwm or b"0-0").decode())

    def _archived_to(self) -> dict[int, str] | None:
        """The position of the history by partition; None if there is none to wait for."""
        if self._settings.history == "off":
            return None
        found = {} if self._db is None else store.positions(self._db)
        return {p: found.get(p, Position()).entry_id for p in self._partitions}

    def _is_archived(self, record: Record, archived_to: dict[int, str] | None) -> bool:
        """Whether the history has passed a tombstone, or cannot read anything before it."""
        if archived_to is None:
            return True
        last = archived_to[record.partition]
        if record.order <= parts_of(last):
            return True
        with failures():
            unread: Any = self._client.xrange(
                keys.readings(record.partition), f"({last}", record.entry_id, count=1
            )
        return not unread

    def _ask_again(self, record: Record) -> None:
        """Append a tombstone again that was trimmed or buried before it was applied."""
        requests.append(self._client, self._settings, record.partition, record.tombstone)
        with failures():
            self._client.hdel(keys.forgets(record.partition), record.entry_id)
        logger.bind(action="forget_again", request=record.tombstone.request).warning(
            "a tombstone was lost before it was applied; appended again"
        )

    def _erase(self, passed: list[Record]) -> None:
        limits: dict[int, dict[str, tuple[int, int]]] = {}
        for record in passed:  # in the order of the stream
            of_partition = limits.setdefault(record.partition, {})
            of_partition.update(dict.fromkeys(record.tombstone.devices, record.order))
        names = sorted({device for each in limits.values() for device in each})
        deleted: Counter[str] = Counter()
        if names:
            deleted["exports"] = exports.delete_of_devices(self._client, self._settings, names)
            deleted["history slots"] = self._erase_history(limits)
            deleted["raw files written again"] = self._erase_raw(limits)
        for partition, devices in limits.items():
            gone = alert_delivery.forget(self._client, partition, devices)
            deleted["silences and undelivered alerts"] += gone
        for partition in sorted(limits):
            self._erase_streams(partition, limits[partition], deleted)
        places = proof.search(self._client, self._settings, limits, self._db)
        finish.require_gone(places)
        failpoints.reach("after_forget_proof")
        finish.mark_erased(self._client, self._settings, passed, deleted, places)

    def _erase_history(self, limits: dict[int, dict[str, tuple[int, int]]]) -> int:
        """Delete rows that the reader of the stream has left, and overwrite them; how many.

        It leaves them if it is off, or if the stream was trimmed before it reached a tombstone.
        """
        deleted = 0
        if self._db is None:
            return 0
        for partition, devices in limits.items():
            held = history_rows.existing(self._db, list(devices))
            if not held:
                continue
            with store.begin(self._db, partition) as transaction:
                last = transaction.position.entry_id
                again = set(proof.returned(self._client, partition, devices, last))
                deleted += transaction.delete_devices(sorted(held - again))
        self._db.scrub()
        return deleted

    def _erase_raw(self, limits: dict[int, dict[str, tuple[int, int]]]) -> int:
        """Remove rows that the reader of the stream has left in raw files; how many files."""
        written = 0
        if self._db is None or not self._settings.raw_dir:
            return 0
        last_of = store.positions(self._db)
        for partition, devices in limits.items():
            last = last_of[partition].entry_id if partition in last_of else "+"
            gone = set(devices) - set(proof.returned(self._client, partition, devices, last))
            written += raw_rows.erase(self._settings, self._db, partition, gone)
        return written

    def _erase_streams(
        self,
        partition: int,
        limits: streams.Limits,
        deleted: Counter[str],
    ) -> None:
        erased = streams.erase(self._client, partition, limits)
        deleted["stream entries"] += erased.entries
        deleted["readings of other devices in them"] += erased.readings_of_others
        deleted["dead entries"] += erased.dead_entries
        failpoints.reach("after_forget_erase")
