"""The SQLite file of a spool: readings, batches with their keys, counters.

Every change is one transaction that is on the disk when the method returns. A reading is deleted
in the transaction that counts its outcome, so at any time
recorded = accepted + rejected + dropped + uncertain + waiting.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tributary.client.spool_database import SpoolDatabase
from tributary.client.spool_proof import UNTRACKED
from tributary.model.clock import utc_ms

BATCH_READINGS_MAX = 1000
BATCH_MAX_BYTES = 512 * 1024  # half of the default body limit of a server
DEVICES_MAX = 10_000
ROW_OVERHEAD_BYTES = 24  # of a reading in the file

_COUNT = """INSERT INTO counter VALUES (?, ?)
    ON CONFLICT (name) DO UPDATE SET count = count + excluded.count"""
_NEXT = """SELECT first, last, key, sent_s, lifetime_s, failures FROM batch
    WHERE NOT is_uncertain ORDER BY first LIMIT 1"""
_OLDEST = """SELECT first, last, is_uncertain FROM batch
    WHERE is_uncertain OR sent_s IS NULL ORDER BY first LIMIT 1"""
_UNCERTAIN = "SELECT first, last FROM batch WHERE is_uncertain"
_IN_UNCERTAIN = """SELECT COUNT(*) FROM batch JOIN reading ON id BETWEEN first AND last
    WHERE is_uncertain"""
_LAST_BATCHED = "SELECT COALESCE(MAX(last), 0) FROM batch"


class StoredBatch(NamedTuple):
    """Readings that are sent in one request.

    `sent_s` and `lifetime_s` are those of the first attempt whose outcome is unknown: the
    server's clock before it, and how long the server remembers the key. `is_retry`: there was
    such an attempt before this one.
    """

    first: int
    last: int
    key: str
    sent_s: float
    lifetime_s: float
    failures: int
    is_retry: bool
    ids: list[int]
    bodies: list[bytes]


class SpoolFile:
    """The readings that are not delivered yet. Thread-safe; one object per file.

    Args:
        path: of the file; `PATH-wal`, `PATH-shm` and `PATH-lock` are beside it.
        max_bytes: of all readings in it; the oldest are dropped beyond it.
        clock_ms: UTC.

    Raises:
        Misconfigured: the file is in use, or is not a spool.
        SpoolError: the file cannot be read or written; every method raises it.
    """

    def __init__(self, path: Path, max_bytes: int, clock_ms: Callable[[], int] = utc_ms) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._clock_ms = clock_ms
        self._database = SpoolDatabase(path)
        self._execute = self._database.connection.execute
        self._execute_many = self._database.connection.executemany
        self._size_bytes = self._measured_bytes()
        with self._transaction():
            self._count({"corrupt_files": self._database.corrupt_files})

    def add(self, encode: Callable[[int], list[bytes]]) -> None:
        """Store the readings that `encode` returns as JSON objects for the time in UTC ms."""
        with self._transaction():
            now_ms = self._clock_ms()
            bodies = encode(now_ms)
            rows = [(now_ms, body) for body in bodies]
            self._execute_many("INSERT INTO reading (at_ms, body) VALUES (?, ?)", rows)
            self._count({"recorded": len(bodies)})
            self._size_bytes += sum(len(body) + ROW_OVERHEAD_BYTES for body in bodies)
            if self._size_bytes > self._max_bytes:
                self._drop_oldest()

    def drop_older(self, max_age_s: float) -> None:
        """Drop readings stored before this time, except a batch that may have been counted."""
        with self._transaction():
            oldest_ms = self._clock_ms() - int(max_age_s * 1000)
            kept = "SELECT id FROM reading WHERE at_ms >= ? ORDER BY id LIMIT 1"
            (first_kept,) = self._database.row(kept, oldest_ms) or (self.newest() + 1,)
            last_old = first_kept - 1
            while (row := self._database.row(_OLDEST)) is not None and row[1] <= last_old:
                self._drop(row[0], row[1], "uncertain" if row[2] else "age")
            (last_batched,) = self._database.one(_LAST_BATCHED)
            if last_batched < last_old:
                self._drop(last_batched + 1, last_old, "age")

    def take(self, sent_s: float, lifetime_s: float) -> StoredBatch | None:
        """The oldest batch, formed of the oldest readings if there is none, marked as sent now."""
        with self._transaction():
            if self._database.row(_NEXT) is None:
                self._form()
            row = self._database.row(_NEXT)
            if row is None:
                return None
            first, last, key, before_s, before_lifetime_s, failures = row
            ids, bodies = zip(*self._rows(first, last), strict=True)
            if before_s is not None:
                doubt = (before_s, before_lifetime_s, failures, True)
            else:
                doubt = (sent_s, lifetime_s, failures, False)
                self._set(first, sent_s=sent_s, lifetime_s=lifetime_s)
            return StoredBatch(first, last, key, *doubt, [*ids], [*bodies])

    def has_doubt(self) -> bool:
        """Whether the next batch may have been counted."""
        with self._database.reading():
            row = self._database.row(_NEXT)
        return row is not None and row[3] is not None

    def update(self, batch: StoredBatch, **columns: float | None) -> None:
        """Change what is known about a batch.

        Args:
            batch: the batch.
            columns: `sent_s` and `lifetime_s`, None if no attempt can have been processed;
                `failures`.
        """
        with self._transaction():
            self._set(batch.first, **columns)

    def set_aside(self, batch: StoredBatch, newest_ms: Mapping[str, int]) -> None:
        """Keep a batch without sending it again; it proves nothing for readings of its times."""
        with self._transaction():
            self._note_newest(newest_ms)
            self._set(batch.first, is_uncertain=1)

    def finish(
        self, batch: StoredBatch, counts: Mapping[str, int], newest_ms: Mapping[str, int]
    ) -> None:
        """Delete a batch whose outcome is known, count it, and note the newest time per device."""
        with self._transaction():
            self._count(counts)
            self._note_newest(newest_ms)
            self._delete(batch.first, batch.last)

    def split(self, batch: StoredBatch) -> None:
        """Replace a batch by its halves, which get new keys; no attempt was processed."""
        middle = len(batch.ids) // 2
        with self._transaction():
            self._execute("DELETE FROM batch WHERE first = ?", (batch.first,))
            for ids in (batch.ids[:middle], batch.ids[middle:]):
                self._insert_batch(ids[0], ids[-1])

    def settle_uncertain(self, *, resend: bool) -> int:
        """Send the uncertain batches again under new keys, or drop them; returns the readings."""
        with self._transaction():
            (readings,) = self._database.one(_IN_UNCERTAIN)
            for first, last in self._execute(_UNCERTAIN).fetchall():
                if resend:
                    self._execute("DELETE FROM batch WHERE first = ?", (first,))
                    self._insert_batch(first, last)
                else:
                    self._drop(first, last, "uncertain")
        return int(readings)

    def newest_ms(self, device: str) -> int:
        """The newest time of a device in finished batches; -1: none, `UNTRACKED`: unknown."""
        with self._database.reading():
            row = self._database.row("SELECT newest_ms FROM delivered WHERE device = ?", device)
            (devices,) = self._database.one("SELECT COUNT(*) FROM delivered")
        if row is None:
            return -1 if devices < DEVICES_MAX else UNTRACKED
        return int(row[0])

    def counters(self) -> dict[str, int]:
        """All counters, and the readings `uncertain` and `waiting`, and `size_bytes`."""
        with self._database.reading():
            found = dict(self._execute("SELECT name, count FROM counter").fetchall())
            (uncertain,) = self._database.one(_IN_UNCERTAIN)
            (total,) = self._database.one("SELECT COUNT(*) FROM reading")
            sizes = {"uncertain": uncertain, "waiting": total - uncertain}
            return {**found, **sizes, "size_bytes": self._size_bytes}

    def oldest_waiting(self) -> int | None:
        """The number of the oldest reading that is to be delivered."""
        oldest = "SELECT id FROM reading WHERE id > ? ORDER BY id LIMIT 1"
        with self._database.reading():
            row = self._database.row(_NEXT) or self._database.row(
                oldest, *self._database.one(_LAST_BATCHED)
            )
        return None if row is None else int(row[0])

    def newest(self) -> int:
        """The number of the newest reading; 0: there is none."""
        with self._database.reading():
            (newest,) = self._database.one("SELECT COALESCE(MAX(id), 0) FROM reading")
        return int(newest)

    def close(self) -> None:
        """Close the file and release its lock."""
        self._database.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._database.reading():
            size_bytes, is_committed = self._size_bytes, False
            try:
                with self._database.transaction():
                    yield
                is_committed = True
            finally:
                if not is_committed:
                    self._size_bytes = size_bytes

    def _form(self) -> None:
        """Make a batch of the oldest readings."""
        max_bytes = min(BATCH_MAX_BYTES, self._max_bytes // 4)
        (last_batched,) = self._database.one(_LAST_BATCHED)
        oldest = "SELECT id, length(body) FROM reading WHERE id > ? ORDER BY id LIMIT ?"
        first = last = size_bytes = 0
        for id_, body_bytes in self._execute(oldest, (last_batched, BATCH_READINGS_MAX)):
            size_bytes += body_bytes + 1
            if first and size_bytes > max_bytes:
                break
            first, last = first or id_, id_
        if first:
            self._insert_batch(first, last)

    def _insert_batch(self, first: int, last: int) -> None:
        row = (first, last, secrets.token_hex(16))
        self._execute("INSERT INTO batch (first, last, key) VALUES (?, ?, ?)", row)

    def _drop_oldest(self) -> None:
        """Drop the oldest readings until the rest fits, except a batch that may be counted."""
        while (
            self._size_bytes > self._max_bytes and (row := self._database.row(_OLDEST)) is not None
        ):
            self._drop(row[0], row[1], "uncertain" if row[2] else "size")
        (last_batched,) = self._database.one(_LAST_BATCHED)
        oldest = "SELECT id, length(body) FROM reading WHERE id > ? ORDER BY id"
        excess_bytes, last = self._size_bytes - self._max_bytes, 0
        for id_, body_bytes in self._execute(oldest, (last_batched,)):
            if excess_bytes <= 0:
                break
            excess_bytes -= body_bytes + ROW_OVERHEAD_BYTES
            last = id_
        if last:
            self._drop(last_batched + 1, last, "size")

    def _drop(self, first: int, last: int, reason: str) -> None:
        self._count({f"dropped/{reason}": self._delete(first, last)})

    def _delete(self, first: int, last: int) -> int:
        """Delete a range and its batch, if any; returns the number of readings."""
        span = (first, last)
        size = (
            "SELECT COUNT(*), COALESCE(SUM(length(body)), 0) FROM reading WHERE id BETWEEN ? AND ?"
        )
        readings, size_bytes = self._database.one(size, *span)
        self._execute("DELETE FROM reading WHERE id BETWEEN ? AND ?", span)
        self._execute("DELETE FROM batch WHERE first = ? AND last = ?", span)
        self._size_bytes -= size_bytes + readings * ROW_OVERHEAD_BYTES
        return int(readings)

    def _count(self, counts: Mapping[str, int]) -> None:
        self._execute_many(_COUNT, [item for item in counts.items() if item[1]])

    def _note_newest(self, newest_ms: Mapping[str, int]) -> None:
        (devices,) = self._database.one("SELECT COUNT(*) FROM delivered")
        newer = "UPDATE delivered SET newest_ms = MAX(newest_ms, ?) WHERE device = ?"
        for device, time_ms in newest_ms.items():
            is_known = self._execute(newer, (time_ms, device)).rowcount
            if not is_known and devices < DEVICES_MAX:
                self._execute("INSERT INTO delivered VALUES (?, ?)", (device, time_ms))
                devices += 1

    def _set(self, first: int, **columns: float | None) -> None:
        names = ", ".join(f"{name} = ?" for name in columns)
        self._execute(
            f"UPDATE batch SET {names} WHERE first = ?",  # noqa: S608 (names of columns)
            (*columns.values(), first),
        )

    def _rows(self, first: int, last: int) -> list[tuple[int, bytes]]:
        rows = "SELECT id, body FROM reading WHERE id BETWEEN ? AND ? ORDER BY id"
        return self._execute(rows, (first, last)).fetchall()

    def _measured_bytes(self) -> int:
        size = "SELECT COUNT(*), COALESCE(SUM(length(body)), 0) FROM reading"
        with self._database.reading():
            readings, size_bytes = self._database.one(size)
        return int(size_bytes) + int(readings) * ROW_OVERHEAD_BYTES
