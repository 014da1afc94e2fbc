"""A buffer that sends readings in arrays, from a thread of its own.

It never drops a reading silently: when it is full, `record` waits; when the server stays
away too long, what could not be delivered is handed back with the error.
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

# Half of what a server takes by default in one body.
_ARRAY_MAX_BYTES = 512 * 1024

_encode = msgspec.json.Encoder().encode


class Undelivered(TributaryError):
    """Readings could not be delivered; they are in `readings`, and the cause says why.

    Of those in the array that was under way, some may have been accepted.
    """

    def __init__(self, message: str, readings: list[Reading]) -> None:
        super().__init__(message)
        self.readings = readings


class Limits(NamedTuple):
    """When an array is sent, and how many readings may wait."""

    max_readings: int = 1000
    max_age_s: float = 1.0
    buffer_max: int = 10_000


class Deliverer(Protocol):
    """What a batch needs of the client."""

    patience_s: float

    def record_all(
        self, readings: Iterable[msgspec.Raw], *, patience_s: float | None = None
    ) -> Receipt:
        """Record many readings in one request."""


class _Waiting(NamedTuple):
    reading: Reading
    encoded: msgspec.Raw
    since_s: float


class Batch:
    """Readings on their way, sent in order. `receipt` sums up what became of them so far.

    Use it with `with`: at the end everything is delivered, or `Undelivered` is raised, after
    the client's patience at the latest. A fork must not share it.
    """

    def __init__(
        self, client: Deliverer, limits: Limits | None = None, on_receipt: OnReceipt | None = None
    ) -> None:
        self.receipt = Receipt()
        self._client = client
        self._limits = limits or Limits()
        self._on_receipt = on_receipt
        self._waiting: deque[_Waiting] = deque()
        self._under_way: list[_Waiting] = []
        self._changed = threading.Condition()
        self._close_by_s: float | None = None
        self._has_ended = False
        self._fault: TributaryError | None = None
        atexit.register(self.close)  # for the program that ends without saying so
        threading.Thread(target=self._run, name="tributary-batch", daemon=True).start()

    def record(self, reading: Reading | None = None, /, **fields: Any) -> None:
        """Add a reading; waits while the buffer is full.

        Raises:
            Undelivered: the server has stayed away too long; the batch is at its end.
        """
        whole = {**(reading or {}), **fields}
        waiting = _Waiting(whole, msgspec.Raw(_encode(whole)), time.monotonic())
        with self._changed:
            self._changed.wait_for(self._has_room)
            self._waiting.append(waiting)
            if self._has_ended:
                raise self._undelivered()
            if len(self._waiting) in (1, self._limits.max_readings):
                self._changed.notify_all()

    def close(self) -> None:
        """Deliver what waits, and end.

        Raises:
            Undelivered: not everything could be delivered in time.
        """
        with self._changed:
            if self._close_by_s is None:
                self._close_by_s = time.monotonic() + self._client.patience_s
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._has_ended)
        atexit.unregister(self.close)
        if self._under_way or self._waiting:
            raise self._undelivered()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _has_room(self) -> bool:
        return self._has_ended or len(self._waiting) < self._limits.buffer_max

    def _undelivered(self) -> Undelivered:
        lost = [waiting.reading for waiting in (*self._under_way, *self._waiting)]
        self._under_way.clear()
        self._waiting.clear()
        error = Undelivered(
            f"{len(lost)} readings were not delivered: {self._fault or 'the batch has ended'}", lost
        )
        error.__cause__ = self._fault
        return error

    def _run(self) -> None:
        try:
            self._send_all()
        except TributaryError as error:
            self._fault = error
        finally:
            with self._changed:
                self._has_ended = True
                self._changed.notify_all()

    def _send_all(self) -> None:
        while self._take():
            receipt = self._client.record_all(
                [waiting.encoded for waiting in self._under_way], patience_s=self._patience_s()
            )
            readings = [waiting.reading for waiting in self._under_way]
            self._under_way = []
            self.receipt.add(receipt)
            if self._on_receipt is not None:
                self._on_receipt(readings, receipt)

    def _take(self) -> bool:
        """Take the next array off the buffer when it is due; False when all is done."""
        with self._changed:
            while not self._is_due():
                self._changed.wait(self._until_due_s())
            size_bytes = 0
            while self._waiting and len(self._under_way) < self._limits.max_readings:
                size_bytes += len(bytes(self._waiting[0].encoded)) + 1
                if self._under_way and size_bytes > _ARRAY_MAX_BYTES:
                    break
                self._under_way.append(self._waiting.popleft())
            self._changed.notify_all()
        return bool(self._under_way)

    def _is_due(self) -> bool:
        if self._close_by_s is not None or len(self._waiting) >= self._limits.max_readings:
            return True
        return bool(self._waiting) and self._until_due_s() == 0.0

    def _until_due_s(self) -> float | None:
        if not self._waiting:
            return None
        return max(0.0, self._waiting[0].since_s + self._limits.max_age_s - time.monotonic())

    def _patience_s(self) -> float | None:
        if self._close_by_s is None:
            return None
        return max(0.0, self._close_by_s - time.monotonic())
