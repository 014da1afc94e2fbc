"""Senders that keep a ledger: several devices each, until so many readings are acknowledged."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from urllib.parse import urlsplit

from support.ledger import METRIC, Ledger, Sent

_PAUSE_S = 0.01


class Sender(threading.Thread):
    """Sends batches of its devices over one keep-alive connection."""

    def __init__(
        self, url: str, ledger: Ledger, devices: list[str], *, readings: int, seed: int
    ) -> None:
        super().__init__(daemon=True)
        self._address = urlsplit(url).netloc
        self._ledger = ledger
        self._next = dict.fromkeys(devices, 0)
        self._readings = readings
        self._random = random.Random(seed)
        self._connection: http.client.HTTPConnection | None = None
        self.giving_up = threading.Event()

    def run(self) -> None:
        acknowledged = 0
        while acknowledged < self._readings and not self.giving_up.is_set():
            device = self._random.choice(list(self._next))
            size = min(self._random.choice((1, 5, 20, 50)), self._readings - acknowledged)
            sent = Sent(device, self._next[device], self._next[device] + size - 1)
            self._next[device] += size
            request = self._ledger.intend(sent)
            outcome = self._post(sent)
            self._ledger.settle(request, sent, outcome)
            if outcome == "ok":
                acknowledged += size
            else:
                self.giving_up.wait(_PAUSE_S)
        if self._connection is not None:
            self._connection.close()

    def _post(self, sent: Sent) -> str:
        now_ms = time.time_ns() // 1_000_000
        readings = [
            {"device": sent.device, "recorded_at": now_ms, METRIC: number}
            for number in sent.numbers
        ]
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._address, timeout=10)
            self._connection.request("POST", "/record", json.dumps(readings))
            response = self._connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            return "maybe"
        if response.status == http.HTTPStatus.OK:
            return "ok"
        # A 503 may follow a reply that was lost: only a 4xx is certain not to be stored.
        return "refused" if response.status < http.HTTPStatus.INTERNAL_SERVER_ERROR else "maybe"
