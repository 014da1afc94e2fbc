"""Sends the readings of the fleet on time, and enters the accepted ones in the ledger."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count

from tributary.client import Batch, OnReceipt, Reading, Receipt, Refusal, Tributary, Undelivered
from tributary.model.clock import utc_ms
from tributary.simulate import fleet
from tributary.simulate.fleet import Shape
from tributary.simulate.ledger import Ledger

_SENDERS_MAX = 4
_MAX_AGE_S = 0.2
_BUFFER_S = 10  # seconds of readings that are buffered before the fleet blocks
_REPEAT_EVERY, _REPEAT_FIRST = 25, 5  # arrays of one sender


@dataclass
class Progress:
    """Counts of readings so far, and the delay of sending."""

    sent: int = 0
    accepted: int = 0
    refused: int = 0
    garbage: int = 0
    late: int = 0
    repeated: int = 0
    recognised: int = 0
    undelivered: int = 0
    behind_s: float = 0.0
    unexpected: Refusal | None = None  # of a reading that was not one of the broken ones

    def __str__(self) -> str:
        text = f"{self.accepted:,} accepted, {self.refused:,} refused"
        return text if self.behind_s < 1 else f"{text}, {self.behind_s:.1f} s behind"


class Drive:
    """Drives the fleet against a server."""

    def __init__(self, client: Tributary, shape: Shape, ledger: Ledger) -> None:
        self.progress = Progress()
        self.error: Undelivered | None = None
        self._client = client
        self._shape = shape
        self._ledger = ledger
        self._lock = threading.Lock()

    def run(self, on_progress: Callable[[float], None]) -> None:
        """Send every reading when it is due; `on_progress` is called with the elapsed seconds.

        Even after an interruption, the readings sent so far are delivered or counted as
        undelivered.
        """
        limit = max(1000, round(self._shape.rate * _BUFFER_S))
        batch = partial(self._client.batch, max_age_s=_MAX_AGE_S, buffer_max=limit)
        number = min(_SENDERS_MAX, self._shape.devices)
        senders = [batch(on_receipt=self._on_receipt()) for _ in range(number)]
        try:
            with self._recording_losses():
                self._send_on_time(senders, on_progress)
        finally:
            for sender in senders:
                with self._recording_losses():
                    sender.close()

    def _send_on_time(self, senders: list[Batch], on_progress: Callable[[float], None]) -> None:
        began_at_s = time.monotonic()
        for event in fleet.events(self._shape, utc_ms()):
            now_s = time.monotonic() - began_at_s
            if event.due_s > now_s:
                on_progress(now_s)
                time.sleep(event.due_s - now_s)
            else:
                self.progress.behind_s = max(self.progress.behind_s, now_s - event.due_s)
            self.progress.late += event.is_late
            self.progress.garbage += fleet.is_garbage(event.reading)
            # All readings of a car use one sender, so that they arrive in order.
            senders[event.car % len(senders)].record(event.reading)
            self.progress.sent += 1
        on_progress(self._shape.seconds)

    def _on_receipt(self) -> OnReceipt:
        """The callback of a sender: it enters each receipt, and repeats some arrays."""
        arrays = count(1)

        def enter(readings: list[Reading], receipt: Receipt) -> None:
            with self._lock:
                self.progress.accepted += receipt.accepted
                self.progress.refused += receipt.refused
                for refusal in receipt.refusals:
                    if not fleet.is_garbage(readings[refusal.index]):
                        self.progress.unexpected = refusal
                self._apply(readings, receipt)
            if next(arrays) % _REPEAT_EVERY == _REPEAT_FIRST:
                self._repeat(readings, receipt.key)

        return enter

    def _repeat(self, readings: list[Reading], key: str) -> None:
        """Send an array again under its key, like a client that got no response."""
        again = self._client.record_all(readings, key=key)
        with self._lock:
            self.progress.repeated += len(readings)
            self.progress.recognised += again.duplicates
            self._apply(readings, again)

    def _apply(self, readings: list[Reading], receipt: Receipt) -> None:
        """Enter the readings that the server has accepted in the ledger."""
        if receipt.duplicates and receipt.duplicates == receipt.accepted:
            return
        if receipt.duplicates or len(receipt.refusals) != receipt.refused:
            self._ledger.doubt(readings)
        refused = {refusal.index for refusal in receipt.refusals}
        self._ledger.add(r for index, r in enumerate(readings) if index not in refused)

    @contextlib.contextmanager
    def _recording_losses(self) -> Iterator[None]:
        try:
            yield
        except Undelivered as error:
            self.error = error
            with self._lock:
                self.progress.undelivered += len(error.readings)
                self._ledger.doubt(error.readings)
