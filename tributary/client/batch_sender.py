"""A buffer that sends readings in arrays from a background thread.

It never drops a reading silently: `record` blocks while the buffer is full, and if the server
is unavailable for too long, the error contains the readings that were not delivered.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, Self

import msgspec

from tributary.client.receipt import Receipt
from tributary.errors import TributaryError

Reading = Mapping[str, Any]
OnReceipt = Callable[[list[Reading], Receipt], None]

# Half of the default body limit of a server.
_ARRAY_MAX_BYTES = 512 * 1024

_encode = msgspec.json.Encoder().encode


class Undelivered(TributaryError):
    """Readings could not be delivered; see `readings` and the cause.

    Some readings of the array in flight may have been accepted.
    """

    def __init__(self, message: str, readings: list[Reading]) -> None:
        super().__init__(message)
        self.readings = readings


class Limits(NamedTuple):
    """When an array is sent, and how many readings are buffered."""

    max_readings: int = 1000
    max_age_s: float = 1.0
    buffer_max: int = 10_000


class Deliverer(Protocol):
    """The part of the client that a batch uses."""

    retry_for_s: float

    def record_all(
        self, readings: Iterable[msgspec.Raw], *, retry_for_s: float | None = None
    ) -> Receipt:
        """Record many readings in one request."""


class _Waiting(NamedTuple):
    reading: Reading
    encoded: msgspec.Raw
    since_s: float


class Batch:
    """Sends readings in order; `receipt` is the sum of all receipts so far.

    Use it in a `with` statement: on exit it delivers everything, or raises `Undelivered` after
    `retry_for_s` of the client. Do not share it across a fork.
    """

    def __init__(
        self, client: Deliverer, limits: Limits | None = None, on_receipt: OnReceipt | None = None
    ) -> None:
        self.receipt = Receipt()
        self._client = client
        self._limits = limits or Limits()
        self._on_receipt = on_receipt
        self._waiting: deque[_Waiting] = deque()
        self._in_flight: list[_Waiting] = []
        self._changed = threading.Condition()
        self._close_by_s: float | None = None
        self._has_stopped = False
        self._error: TributaryError | None = None
        atexit.register(self.close)  # for a program that exits without closing it
        threading.Thread(target=self._run, name="tributary-batch", daemon=True).start()

    def record(self, reading: Reading | None = None, /, **fields: Any) -> None:
        """Add a reading; blocks while the buffer is full.

        Raises:
            Undelivered: the server was unavailable for too long; the batch is closed.
        """
        whole = {**(reading or {}), **fields}
        waiting = _Waiting(whole, msgspec.Raw(_encode(whole)), time.monotonic())
        with self._changed:
            self._changed.wait_for(self._has_room)
            self._waiting.append(waiting)
            if self._has_stopped:
                raise self._undelivered()
            if len(self._waiting) in (1, self._limits.max_readings):
                self._changed.notify_all()

    def close(self) -> None:
        """Deliver the buffered readings and stop.

        Raises:
            Undelivered: some readings could not be delivered in time.
        """
        with self._changed:
            if self._close_by_s is None:
                self._close_by_s = time.monotonic() + self._client.retry_for_s
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._has_stopped)
        atexit.unregister(self.close)
        if self._in_flight or self._waiting:
            raise self._undelivered()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _has_room(self) -> bool:
        return self._has_stopped or len(self._waiting) < self._limits.buffer_max

    def _undelivered(self) -> Undelivered:
        lost = [waiting.reading for waiting in (*self._in_flight, *self._waiting)]
        self._in_flight.clear()
        self._waiting.clear()
        error = Undelivered(
            f"{len(lost)} readings were not delivered: {self._error or 'the batch is closed'}", lost
        )
        error.__cause__ = self._error
        return error

    def _run(self) -> None:
        try:
            self._send_all()
        except TributaryError as error:
            self._error = error
        finally:
            with self._changed:
                self._has_stopped = True
                self._changed.notify_all()

    def _send_all(self) -> None:
        while self._take():
            receipt = self._client.record_all(
                [waiting.encoded for waiting in self._in_flight], retry_for_s=self._retry_for_s()
            )
            readings = [waiting.reading for waiting in self._in_flight]
            self._in_flight = []
            self.receipt.add(receipt)
            if self._on_receipt is not None:
                self._on_receipt(readings, receipt)

    def _take(self) -> bool:
        """Wait until an array is due and take it from the buffer; False once all is sent."""
        with self._changed:
            while not self._is_due():
                self._changed.wait(self._until_due_s())
            size_bytes = 0
            while self._waiting and len(self._in_flight) < self._limits.max_readings:
                size_bytes += len(bytes(self._waiting[0].encoded)) + 1
                if self._in_flight and size_bytes > _ARRAY_MAX_BYTES:
                    break
                self._in_flight.append(self._waiting.popleft())
            self._changed.notify_all()
        return bool(self._in_flight)

    def _is_due(self) -> bool:
        if self._close_by_s is not None or len(self._waiting) >= self._limits.max_readings:
            return True
        return bool(self._waiting) and self._until_due_s() == 0.0

    def _until_due_s(self) -> float | None:
        if not self._waiting:
            return None
        return max(0.0, self._waiting[0].since_s + self._limits.max_age_s - time.monotonic())

    def _retry_for_s(self) -> float | None:
        if self._close_by_s is None:
            return None
        return max(0.0, self._close_by_s - time.monotonic())
