"""A sender of readings of any age, which repeats each request until it is acknowledged."""

from __future__ import annotations

import http.client
import random
import threading
from collections.abc import Iterator

from support.histories import Value
from support.processes import request

METRIC = "seq"
_AGES_MS = (0, 0, 0, 90_000, 5_400_000, 100_000_000, 20 * 365 * 86_400_000)


class HistorySender(threading.Thread):
    """Sends batches with an Idempotency-Key; `acknowledged` is the ledger."""

    def __init__(self, url: str, number: int, *, seed: int, now_ms: int) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._name = f"s{seed}-{number}"
        self._devices = [f"car-{number}-{n}" for n in range(4)]
        self._random = random.Random(f"{seed}-{number}")
        self._now_ms = now_ms
        self.acknowledged: list[Value] = []
        self.finishing = threading.Event()

    def run(self) -> None:
        """Send until `finishing` is set and the last batch is acknowledged."""
        for number, batch in enumerate(self._batches()):
            if self.finishing.is_set():
                return
            body = [
                {"device": each.device, "recorded_at": each.time_ms, METRIC: each.value}
                for each in batch
            ]
            while not self._send(body, f"{self._name}-{number}"):
                self.finishing.wait(0.05)
            self.acknowledged += batch
            self.finishing.wait(0.02)

    def _batches(self) -> Iterator[list[Value]]:
        value = 0
        while True:
            batch = []
            for _ in range(self._random.randrange(1, 6)):
                value += 1
                time_ms = self._now_ms - self._random.choice(_AGES_MS) - 17 * (value % 9_000)
                device = self._random.choice(self._devices)
                batch.append(Value(device, METRIC, time_ms, float(value)))
            yield batch

    def _send(self, body: list[dict[str, object]], key: str) -> bool:
        try:
            status, answer = request(self._url, "POST", "/record", body, {"Idempotency-Key": key})
        except (OSError, http.client.HTTPException):
            return False
        if status == 200:
            return True
        assert status == 503, answer
        return False
