"""A spool: keeps readings in a file until the server has them, also across restarts."""

from __future__ import annotations

import atexit
import math
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec
from loguru import logger

from tributary.client.batch_sender import Reading
from tributary.client.endpoint import Endpoint
from tributary.client.spool_database import SpoolError
from tributary.client.spool_delivery import Delivery
from tributary.client.spool_file import BATCH_MAX_BYTES, SpoolFile
from tributary.client.spool_proof import TIME_NAMES
from tributary.errors import Misconfigured

MAX_BYTES = 64 * 1024 * 1024
MAX_AGE_S = 7 * 86_400.0
MIN_BYTES = 64 * 1024
_TRIM_EVERY_S = 60.0  # also how often losses are logged
_BROKEN_PAUSE_S = 30.0  # after an error of the file
_CLOSE_WITHIN_S = 10.0

_encode = msgspec.json.Encoder().encode


class SpoolLimits(NamedTuple):
    """What a spool keeps: bytes of readings, and for how long; the oldest are dropped."""

    max_bytes: int = MAX_BYTES
    max_age_s: float = MAX_AGE_S
    key_lifetime_s: float | None = None


class Spooled(NamedTuple):
    """Counts of readings since the file was created.

    recorded = accepted + rejected + dropped + uncertain + waiting, where rejected and dropped are
    the sums of their values. `duplicates` are those of `accepted` that an earlier attempt had
    delivered. `rejected` is by error code of the server, `dropped` by `size`, `age` or
    `uncertain`. `problem` is why nothing can be delivered now, or None.
    """

    recorded: int
    waiting: int
    accepted: int
    duplicates: int
    uncertain: int
    rejected: dict[str, int]
    dropped: dict[str, int]
    corrupt_files: int
    size_bytes: int
    problem: str | None


class Spool:
    """Delivers readings in the background, oldest first; thread-safe, for one process per file.

    Use it in a `with` statement. `record` returns once the reading is on the disk.

    Raises:
        Misconfigured: a limit is invalid, or the file is in use or is not a spool.
        SpoolError: the file cannot be read or written.
    """

    def __init__(self, endpoint: Endpoint, path: Path, limits: SpoolLimits) -> None:
        _check(limits)
        self._limits = limits
        self._file = SpoolFile(path, limits.max_bytes)
        self._delivery = Delivery(endpoint, self._file, limits.key_lifetime_s)
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._next_s = self._trim_s = time.monotonic()
        self._is_due = self._is_urgent = False
        self._close_by_s: float | None = None
        self._broken: str | None = None
        self._at_close: Spooled | None = None
        self._logged_problem: str | None = None
        self._logged_undelivered = _undelivered(self.spooled)
        atexit.register(self.close)  # for a program that exits without closing it
        self._thread = threading.Thread(target=self._run, name="tributary-spool", daemon=True)
        self._thread.start()

    def record(self, reading: Reading | None = None, /, **fields: Any) -> None:
        """Record one reading: `record(device="car-7", engine_temperature=92.3)`.

        Without a time it gets the time now.

        Raises:
            SpoolError: the reading is not stored, for example because the disk is full.
        """
        self.record_all([{**(reading or {}), **fields}])

    def record_all(self, readings: Iterable[Reading]) -> None:
        """Record many readings, all or none.

        Raises:
            SpoolError: nothing is stored, for example because the disk is full.
        """
        if os.getpid() != self._pid:
            raise Misconfigured(
                "a spool cannot be used after a fork; create one in the new process"
            )
        given = [dict(reading) for reading in readings]
        self._file.add(lambda now_ms: [self._encoded(reading, now_ms) for reading in given])
        self._wake()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything recorded so far is delivered; returns whether it is.

        Readings that the server rejects, and uncertain ones, are not waited for: see `spooled`.
        """
        newest = self._file.newest()
        with self._changed:
            self._is_urgent = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._is_delivered(newest), timeout_s)

    @property
    def spooled(self) -> Spooled:
        """What became of the readings, across restarts."""
        if self._at_close is not None:
            return self._at_close
        counters = self._file.counters()
        return Spooled(
            recorded=counters.get("recorded", 0),
            waiting=counters["waiting"],
            accepted=counters.get("accepted", 0),
            duplicates=counters.get("duplicates", 0),
            uncertain=counters["uncertain"],
            rejected=_by_reason(counters, "rejected/"),
            dropped=_by_reason(counters, "dropped/"),
            corrupt_files=counters.get("corrupt_files", 0),
            size_bytes=counters["size_bytes"],
            problem=self._broken or self._delivery.problem,
        )

    def settle_uncertain(self, *, resend: bool) -> int:
        """Decide about the uncertain readings: send them again, or drop them.

        Returns:
            How many they are; those sent again may be counted twice, those dropped not at all.
        """
        readings = self._file.settle_uncertain(resend=resend)
        self._wake()
        return readings

    def close(self) -> None:
        """Deliver for up to ten seconds, as long as the server responds; the rest is kept."""
        atexit.unregister(self.close)
        with self._changed:
            if self._close_by_s is not None or os.getpid() != self._pid:
                return
            self._close_by_s = time.monotonic() + _CLOSE_WITHIN_S
            self._is_urgent = True
            self._changed.notify_all()
        self._thread.join()
        try:
            self._log_undelivered()
            self._at_close = self.spooled
        finally:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _encoded(self, reading: dict[str, Any], now_ms: int) -> bytes:
        if all(reading.get(name) is None for name in TIME_NAMES):
            reading = {k: v for k, v in reading.items() if k not in TIME_NAMES}
            reading["recorded_at"] = now_ms
        body = _encode(reading)
        if len(body) > min(BATCH_MAX_BYTES, self._limits.max_bytes // 4):
            raise SpoolError(f"a reading of {len(body)} bytes is too large; send fewer metrics")
        return body

    def _wake(self) -> None:
        with self._changed:
            self._is_due = True
            self._changed.notify_all()

    def _is_delivered(self, newest: int) -> bool:
        oldest = self._file.oldest_waiting()
        return oldest is None or oldest > newest

    def _run(self) -> None:
        try:
            while self._wait():
                self._try_turn()
        finally:
            if self._close_by_s is None:  # a bug; threading prints it
                self._broken = "the thread that delivers has failed; restart the program"

    def _try_turn(self) -> None:
        try:
            self._turn()
            self._broken = None
        except SpoolError as error:
            self._broken = str(error)
            self._next_s = self._trim_s = time.monotonic() + _BROKEN_PAUSE_S
        self._log_problem()
        with self._changed:
            self._changed.notify_all()  # for flush

    def _wait(self) -> bool:
        """Wait until there is something to do; False: stop."""
        with self._changed:
            while True:
                now_s = time.monotonic()
                can_hurry = self._is_urgent and not self._delivery.is_paused
                if can_hurry or (self._is_due and self._next_s == math.inf):
                    self._next_s = now_s
                self._is_urgent = False
                if self._close_by_s is not None:
                    return self._next_s <= now_s <= self._close_by_s
                wait_s = min(self._next_s, self._trim_s) - now_s
                if wait_s <= 0:
                    self._is_due = False
                    return True
                self._changed.wait(wait_s)

    def _turn(self) -> None:
        if time.monotonic() >= self._trim_s:
            self._trim_s = time.monotonic() + _TRIM_EVERY_S
            self._file.drop_older(self._limits.max_age_s)
            self._log_undelivered()
        if time.monotonic() >= self._next_s:
            wait_s = self._delivery.step()
            self._next_s = math.inf if wait_s is None else time.monotonic() + wait_s

    def _log_problem(self) -> None:
        """Log when delivery stops, and when it works again."""
        problem = self._broken or self._delivery.problem
        if (problem is None) != (self._logged_problem is None):
            log = logger.bind(action="spool", path=str(self._file.path), problem=problem)
            if problem is None:
                log.info("the spool delivers again")
            else:
                log.warning("readings are kept in the spool")
        self._logged_problem = problem

    def _log_undelivered(self) -> None:
        """Log what was rejected, dropped or set aside since the last time."""
        spooled = self.spooled
        undelivered = _undelivered(spooled)
        if undelivered > self._logged_undelivered:
            logger.bind(
                action="spool",
                path=str(self._file.path),
                rejected=spooled.rejected,
                dropped=spooled.dropped,
                uncertain=spooled.uncertain,
            ).warning("readings of the spool were rejected, dropped or set aside")
        self._logged_undelivered = undelivered


def _undelivered(spooled: Spooled) -> int:
    return sum((*spooled.rejected.values(), *spooled.dropped.values(), spooled.uncertain))


def _by_reason(counters: dict[str, int], prefix: str) -> dict[str, int]:
    return {
        name.removeprefix(prefix): count
        for name, count in counters.items()
        if name.startswith(prefix)
    }


def _check(limits: SpoolLimits) -> None:
    if limits.max_bytes < MIN_BYTES:
        raise Misconfigured(f"max_bytes={limits.max_bytes} is below {MIN_BYTES}; raise it")
    if not limits.max_age_s > 0:
        raise Misconfigured(f"max_age_s={limits.max_age_s} is not positive; give seconds")
    if limits.key_lifetime_s is not None and not limits.key_lifetime_s > 0:
        raise Misconfigured(
            f"key_lifetime_s={limits.key_lifetime_s} is not positive; give the "
            "TRIBUTARY_IDEMPOTENCY_TTL_MS of the server, in seconds"
        )
